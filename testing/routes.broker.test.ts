import { CreateTopicCommand, type SNSClient, SubscribeCommand } from '@aws-sdk/client-sns'
import { GetQueueAttributesCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { connectKafka, type KafkaBroker } from '../packages/adapter-kafka/test/kafka-broker.ts'
import { assertTopology, createRabbitmqPublisher } from '../packages/adapter-rabbitmq/src/index.ts'
import { receive, through, withChannel } from '../packages/adapter-rabbitmq/test/rabbitmq-harness.ts'
import { decodeMessage } from '../packages/adapter-sqs/src/decode.ts'
import { createSnsPublisher } from '../packages/adapter-sqs/src/sns.ts'
import { queuesOn } from '../packages/adapter-sqs/test/queues.ts'
import { createRoutingPublisher, outboxStatus, type Publisher } from '../packages/outbox-core/src/index.ts'
import { eventually } from '../packages/outbox-core/src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from '../packages/outbox-core/test/relay-bench.ts'
import { snsClient, sqsClient, type SqsService, startSqs } from './services/sqs.ts'
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts'

const keys = ['k0', 'k1', 'k2'] as const
const names = {
  kafka: `kafka-${randomUUID()}`,
  rabbitmq: `rabbitmq-${randomUUID()}`,
  sns: `sns-${randomUUID()}`,
  nowhere: `nowhere-${randomUUID()}`,
}

let bench: RelayBench
let kafka: KafkaBroker
let rabbitmq: { readonly proxy: TcpProxy; readonly publisher: Publisher }
let aws: { readonly server: SqsService; readonly sns: SNSClient; readonly sqs: SQSClient; readonly queue: string }
let snsPublisher: Publisher

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
  kafka = await connectKafka(inject('kafkaBrokers').split(','))
  await kafka.topic({ name: names.kafka })
  const url = inject('rabbitmqUrl')
  const proxy = await startTcpProxy(Number(new URL(url).port))
  await withChannel(url, (channel) =>
    assertTopology(channel, {
      exchange: names.rabbitmq,
      queue: names.rabbitmq,
      topics: [names.rabbitmq],
      retryDelaysMs: [],
      singleActiveConsumer: false,
    }),
  )
  const connect = through(proxy, url)
  rabbitmq = { proxy, publisher: createRabbitmqPublisher({ connect, source: '/tests', exchange: names.rabbitmq }) }
  const server = await startSqs()
  aws = { server, sns: snsClient(server.endpoint), sqs: sqsClient(server.endpoint), queue: `${names.sns}.fifo` }
  snsPublisher = await subscribedTopic()
})
afterAll(async () => {
  await bench.reset()
  await Promise.all([kafka.close(), rabbitmq.publisher.close(), snsPublisher.close()])
  await rabbitmq.proxy.close()
  aws.sns.destroy()
  aws.sqs.destroy()
  await aws.server.close()
  await bench.database.drop()
})

/** A FIFO topic with one queue behind it. */
async function subscribedTopic(): Promise<Publisher> {
  const { server, sns, sqs, queue } = aws
  const queues = queuesOn(sqs, server.endpoint, 'fifo')
  await queues.make({}, queue)
  const { TopicArn = '' } = await sns.send(new CreateTopicCommand({ Name: queue, Attributes: { FifoTopic: 'true' } }))
  const asked = { QueueUrl: queues.urlOf(queue), AttributeNames: ['QueueArn' as const] }
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand(asked))
  const endpoint = { Protocol: 'sqs', Endpoint: Attributes?.['QueueArn'], Attributes: { RawMessageDelivery: 'true' } }
  await sns.send(new SubscribeCommand({ TopicArn, ...endpoint }))
  return createSnsPublisher({ client: sns, topicArn: { [names.sns]: TopicArn } })
}

/** Messages of one topic for each of the keys, in turn. */
const keyed = (topic: string, count: number) =>
  Array.from({ length: count }, (_, n) =>
    aMessage({ topic, orderingKey: keys[n % keys.length] ?? 'none', payload: { n } }),
  )

/** `n` of each message by key, in the sequence in which the broker has them. */
function byKey(bodies: readonly { readonly key: string | null; readonly body: string }[]): Record<string, number[]> {
  const found: Record<string, number[]> = {}
  for (const { key, body } of bodies) (found[String(key)] ??= []).push((JSON.parse(body) as { n: number }).n)
  return found
}

const expected = (count: number): Record<string, number[]> =>
  Object.fromEntries(
    keys.map((key, at) => [key, Array.from({ length: count }, (_, n) => n).filter((n) => n % 3 === at)]),
  )

async function left(topic: string): Promise<{ waiting: number; attempts: number | null }> {
  const text = 'select count(*)::integer as waiting, max(attempts) as attempts from malote.messages where topic = $1'
  return (await bench.pool.query<{ waiting: number; attempts: number | null }>(text, [topic])).rows[0] as never
}

it('Kafka, RabbitMQ and SNS leave one outbox, each in order per key; one that is away keeps none of the others, and a topic without a route waits', async () => {
  const publisher = createRoutingPublisher([
    { name: 'kafka', topics: ['kafka-*'], publisher: kafka.publisher() },
    { name: 'rabbitmq', topics: ['rabbitmq-*'], publisher: rabbitmq.publisher },
    { name: 'sns', topics: ['sns-*'], publisher: snsPublisher },
  ])
  const { relay, observer } = bench.relay({ publisher, maxAttempts: 2, destinationBackoff: () => 100 })
  rabbitmq.proxy.refuse()
  const [first, all] = [30, 60]
  const routed = [names.kafka, names.rabbitmq, names.sns]
  await bench.add(...routed.flatMap((topic) => keyed(topic, first)), ...keyed(names.nowhere, 6))
  relay.start()
  await eventually(async () =>
    expect(new Set((await outboxStatus(bench.pool)).outages.map(({ destination }) => destination))).toEqual(
      new Set(['route "rabbitmq"', `topic "${names.nowhere}"`]),
    ),
  )
  // What is added while two destinations take nothing gets through to the others all the same.
  await bench.add(...routed.flatMap((topic) => keyed(topic, all).slice(first)))
  await eventually(async () => {
    expect(await left(names.kafka)).toMatchObject({ waiting: 0 })
    expect(await left(names.sns)).toMatchObject({ waiting: 0 })
  })
  expect(await left(names.rabbitmq)).toEqual({ waiting: all, attempts: 0 })

  rabbitmq.proxy.accept()
  await eventually(async () => expect(await left(names.rabbitmq)).toMatchObject({ waiting: 0 }))

  const records = (await kafka.read(names.kafka)).toSorted((a, b) => Number(a.offset) - Number(b.offset))
  const letters = await receive(inject('rabbitmqUrl'), names.rabbitmq, all)
  const raw = await queuesOn(aws.sqs, aws.server.endpoint, 'fifo').drain(aws.queue, all, 20_000)
  const fromSqs = raw.map((message) => decodeMessage(message, names.sns))
  expect(byKey(records.map(({ key, value }) => ({ key, body: value })))).toEqual(expected(all))
  expect(
    byKey(letters.map(({ message }) => ({ key: message.orderingKey, body: Buffer.from(message.body).toString() }))),
  ).toEqual(expected(all))
  expect(
    byKey(fromSqs.map(({ orderingKey, body }) => ({ key: orderingKey, body: Buffer.from(body).toString() }))),
  ).toEqual(expected(all))
  expect(await left(names.nowhere)).toEqual({ waiting: 6, attempts: 0 })
  expect(await bench.count('dead_letters')).toBe(0)
  expect(observer.of('message.retry-scheduled')).toEqual([])
})
