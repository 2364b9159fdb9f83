// `npm run judges`: clients in Python, which nobody here wrote, read what the adapters publish, and write what they consume: first with
// attributes by name, then as the official CloudEvents SDK has them.
import { randomUUID } from 'node:crypto'
import { CreateQueueCommand } from '@aws-sdk/client-sqs'
import { connect } from 'amqplib'
import { Kafka, logLevel } from 'kafkajs'
import {
  consumerDefaults,
  createKafkaConsumer,
  createKafkaPublisher,
  producerDefaults,
} from '../../packages/adapter-kafka/src/index.ts'
import {
  assertTopology,
  createRabbitmqConsumer,
  createRabbitmqPublisher,
} from '../../packages/adapter-rabbitmq/src/index.ts'
import { createSqsConsumer, createSqsPublisher } from '../../packages/adapter-sqs/src/index.ts'
import type { Consumer, DeliveryHandler, Publisher, ReceivedMessage } from '../../packages/outbox-core/src/index.ts'
import { startKafka } from '../services/kafka.ts'
import { createKafkaTopics } from '../services/kafka-topics.ts'
import { startRabbitmq } from '../services/rabbitmq.ts'
import { sqsClient, startSqs } from '../services/sqs.ts'
import { differences, type ForeignMessage, foreignMessages, ours, type SeenByPython } from './foreign-messages.ts'
import { ask, endJudge, isAskedFor, type PythonPackage, whatIsMissing } from './python-tools.ts'

/** A broker, a Python client of it, and our two halves. */
interface Subject {
  /** clients.py knows it by its module's name. */
  readonly client: PythonPackage
  /** Before the names of attributes, as the client finds them. */
  readonly prefix: string
  /** Bindings and modes in which the SDK writes. */
  readonly bindings: readonly string[]
  readonly open: (topic: string) => Promise<Opened>
}

interface Opened {
  /** What the Python client is told beside what to do. */
  readonly where: Readonly<Record<string, string>>
  readonly publisher: Publisher
  readonly consumer: (handler: DeliveryHandler) => Consumer
  readonly close: () => Promise<void>
}

const seconds = 60

const pika: PythonPackage = { module: 'pika', from: { debian: 'python3-pika' } }
const confluent: PythonPackage = { module: 'confluent_kafka', from: { debian: 'python3-confluent-kafka' } }
const boto3: PythonPackage = { module: 'boto3', from: { pip: 'boto3==1.40.0' } }

const sdk: PythonPackage = { module: 'cloudevents.core', from: { pip: 'cloudevents==2.2.0' } }

const subjects: readonly Subject[] = [
  {
    client: pika,
    prefix: 'cloudEvents:',
    bindings: ['rabbitmq binary', 'rabbitmq structured', 'amqp binary', 'amqp structured'],
    open: openRabbitmq,
  },
  { client: confluent, prefix: 'ce_', bindings: ['kafka binary', 'kafka structured'], open: openKafka },
  // The SDK has no binding for SQS: the one for HTTP names attributes as we do there.
  { client: boto3, prefix: 'ce-', bindings: ['http binary', 'http structured'], open: openSqs },
]

const outcomes: ('ok' | 'wrong' | 'not-run')[] = []
for (const subject of subjects) {
  await decide(subject.client.module, [subject.client], () => judge(subject, [subject.client], [null]))
  const tools = [subject.client, sdk]
  await decide(`CloudEvents SDK on ${subject.client.module}`, tools, () => judge(subject, tools, subject.bindings))
}
endJudge(outcomes)

async function decide(name: string, tools: readonly PythonPackage[], work: () => Promise<string[]>): Promise<void> {
  if (!isAskedFor(name)) return
  const absences = tools.flatMap((tool) => whatIsMissing(tool) ?? [])
  if (absences.length > 0) {
    outcomes.push('not-run')
    console.error(`NOT RUN ${name}: ${absences.join('; ')}`)
    return
  }
  const wrong = await work().catch((error: unknown) => [String(error).slice(-1_000)])
  outcomes.push(wrong.length === 0 ? 'ok' : 'wrong')
  const words = wrong.length === 0 ? 'reads what we publish, and we read what it writes' : wrong.join('; ')
  console.log(`${wrong.length === 0 ? 'ok    ' : 'WRONG '} ${name}: ${words}`)
}

/**
 * @param bindings - of the SDK, in each of which it writes; null: the client alone
 * @returns what differs between what was written and what was read, either way
 */
async function judge(
  { client, prefix, open }: Subject,
  tools: readonly PythonPackage[],
  bindings: readonly (string | null)[],
): Promise<string[]> {
  const topic = `foreign-${randomUUID()}`
  const { where, publisher, consumer, close } = await open(topic)
  const order = { client: client.module, topic, seconds, ...where }
  try {
    const sent = ours(topic)
    const results = await publisher.publish(sent, AbortSignal.timeout(seconds * 1_000))
    const refused = results.filter(({ status }) => status !== 'accepted')
    if (refused.length > 0) return [`our publisher: ${JSON.stringify(refused)}`]
    const by = (binding: string | null | undefined): object => (typeof binding === 'string' ? { binding } : {})
    const count = sent.length
    const read = await ask<SeenByPython[]>(tools, { ...order, do: 'read', count, ...by(bindings[0]) })
    const theirs: ForeignMessage[] = []
    for (const binding of bindings) {
      const messages = foreignMessages()
      await ask(tools, { ...order, do: 'write', messages, ...by(binding) })
      theirs.push(...messages)
    }
    const received = await receive(consumer, theirs)
    return differences(prefix, sent, read, theirs, received)
  } finally {
    await publisher.close()
    await close()
  }
}

async function receive(
  consumer: Opened['consumer'],
  expected: readonly ForeignMessage[],
): Promise<readonly ReceivedMessage[]> {
  const received: ReceivedMessage[] = []
  const all = Promise.withResolvers<void>()
  const running = consumer(({ message }) => {
    if (expected.some(({ attributes }) => attributes['id'] === message.id)) received.push(message)
    if (received.length === expected.length) all.resolve()
    return Promise.resolve()
  })
  await running.start()
  const timer = setTimeout(all.resolve, seconds * 1_000)
  await all.promise
  clearTimeout(timer)
  await running.stop()
  return received
}

async function openRabbitmq(topic: string): Promise<Opened> {
  const server = await startRabbitmq()
  const admin = await connect(server.url)
  await assertTopology(await admin.createChannel(), { exchange: topic, queue: topic, topics: [topic] })
  return {
    where: { server: server.url, exchange: topic },
    publisher: createRabbitmqPublisher({ connect: () => connect(server.url), source: '/judged', exchange: topic }),
    consumer: (handler) => createRabbitmqConsumer({ connect: () => connect(server.url), queue: topic, handler }),
    close: async () => {
      await admin.close()
      await server.dispose()
    },
  }
}

async function openKafka(topic: string): Promise<Opened> {
  const server = await startKafka()
  const kafka = new Kafka({ brokers: [...server.brokers], logLevel: logLevel.NOTHING })
  await createKafkaTopics(kafka, [{ topic, numPartitions: 3 }])
  const producer = (): ReturnType<Kafka['producer']> => kafka.producer(producerDefaults)
  return {
    where: { server: server.brokers.join(',') },
    publisher: createKafkaPublisher({ producer, source: '/judged' }),
    consumer: (handler) =>
      createKafkaConsumer({
        consumer: kafka.consumer({ ...consumerDefaults, groupId: randomUUID() }),
        topics: [topic],
        producer,
        handler,
      }),
    close: async () => {
      await server.dispose()
    },
  }
}

async function openSqs(topic: string): Promise<Opened> {
  const server = await startSqs()
  const client = sqsClient(server.endpoint)
  const url = (name: string): string => `${server.endpoint}/000000000000/${name}.fifo`
  for (const name of [topic, `${topic}-dead`])
    await client.send(new CreateQueueCommand({ QueueName: `${name}.fifo`, Attributes: { FifoQueue: 'true' } }))
  return {
    where: { server: server.endpoint, url: url(topic) },
    publisher: createSqsPublisher({ client, queueUrl: () => url(topic), source: '/judged' }),
    consumer: (handler) =>
      createSqsConsumer({ client, queueUrl: url(topic), deadLetterQueueUrl: url(`${topic}-dead`), handler }),
    close: async () => {
      client.destroy()
      await server.close()
    },
  }
}
