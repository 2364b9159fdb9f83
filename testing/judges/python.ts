// `npm run judges`: clients in Python, which nobody here wrote, read what the adapters publish, and write what they consume.
import { execFile, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
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
import { canInstallDebianPackages, installDebianPackage } from '../services/debian-package.ts'
import { startKafka } from '../services/kafka.ts'
import { createKafkaTopics } from '../services/kafka-topics.ts'
import { startRabbitmq } from '../services/rabbitmq.ts'
import { sqsClient, startSqs } from '../services/sqs.ts'
import { differences, type ForeignMessage, foreignMessages, ours, type SeenByPython } from './foreign-messages.ts'

/** A broker, a Python client of it, and our two halves. */
interface Subject {
  /** The module's name in Python. */
  readonly client: string
  /** Debian's package, or what pip is asked for where Debian's is too old for the server. */
  readonly from: { readonly debian: string } | { readonly pip: string }
  /** Before the names of attributes, as the client finds them. */
  readonly prefix: string
  readonly open: (topic: string) => Promise<Opened>
}

interface Opened {
  /** What the Python client is told beside what to do. */
  readonly where: Readonly<Record<string, string>>
  readonly publisher: Publisher
  readonly consumer: (handler: DeliveryHandler) => Consumer
  readonly close: () => Promise<void>
}

/** Debian's own interpreter: it sees Debian's packages. */
const python = '/usr/bin/python3'
const seconds = 60
/** Where pip puts things: the project's own tools. */
const installed = fileURLToPath(new URL('../../.tools/python', import.meta.url))
const environment = { ...process.env, PYTHONPATH: installed }

const subjects: readonly Subject[] = [
  { client: 'pika', from: { debian: 'python3-pika' }, prefix: 'cloudEvents:', open: openRabbitmq },
  { client: 'confluent_kafka', from: { debian: 'python3-confluent-kafka' }, prefix: 'ce_', open: openKafka },
  { client: 'boto3', from: { pip: 'boto3==1.40.0' }, prefix: 'ce-', open: openSqs },
]

let isAsExpected = true
for (const subject of subjects) {
  const absence = whatIsMissing(subject)
  if (absence === null) {
    const wrong = await judge(subject).catch((error: unknown) => [String(error).slice(-1_000)])
    isAsExpected &&= wrong.length === 0
    const words = wrong.length === 0 ? 'reads what we publish, and we read what it writes' : wrong.join('; ')
    console.log(`${wrong.length === 0 ? 'ok    ' : 'WRONG '} ${subject.client}: ${words}`)
  } else {
    console.error(`NOT RUN ${subject.client}: ${absence}`)
    isAsExpected &&= process.env['CI'] !== 'true'
  }
}
process.stdout.write('', () => process.exit(isAsExpected ? 0 : 1))

/** @returns what differs between what was written and what was read, either way */
async function judge({ client, prefix, open }: Subject): Promise<string[]> {
  const topic = `foreign-${randomUUID()}`
  const { where, publisher, consumer, close } = await open(topic)
  try {
    const sent = ours(topic)
    const results = await publisher.publish(sent, AbortSignal.timeout(seconds * 1_000))
    const refused = results.filter(({ status }) => status !== 'accepted')
    if (refused.length > 0) return [`our publisher: ${JSON.stringify(refused)}`]
    const read = await ask<SeenByPython[]>({ client, do: 'read', topic, count: sent.length, seconds, ...where })
    const theirs = foreignMessages()
    await ask({ client, do: 'write', topic, messages: theirs, seconds, ...where })
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

async function ask<Answer>(order: Readonly<Record<string, unknown>>): Promise<Answer> {
  const script = fileURLToPath(new URL('clients.py', import.meta.url))
  const { stdout } = await promisify(execFile)(python, [script, JSON.stringify(order)], { env: environment })
  return JSON.parse(stdout) as Answer
}

function whatIsMissing({ client, from }: Subject): string | null {
  const works = (...args: string[]): boolean => spawnSync(python, args, { env: environment }).status === 0
  if ('pip' in from) {
    const install = ['-m', 'pip', 'install', '--quiet', '--target', installed, from.pip]
    if (existsSync(join(installed, client))) return null
    return works(...install) ? null : `${python} ${install.join(' ')} fails: is there a pip, and a way to its registry?`
  }
  const has = (): boolean => works('-c', `import ${client}`)
  if (has()) return null
  if (!canInstallDebianPackages()) return `install the package ${from.debian} (here only root on Debian could)`
  installDebianPackage(from.debian)
  return has() ? null : `${from.debian} is installed, and ${python} does not find it`
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
  const admin = kafka.admin()
  await admin.connect()
  await createKafkaTopics(admin, [{ topic, numPartitions: 3 }])
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
      await admin.disconnect()
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
