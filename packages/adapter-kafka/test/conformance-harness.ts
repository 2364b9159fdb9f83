import { type Consumer, readDeadLetterNote } from '@malote/outbox-core'
import { type ConsumerHarness, eventually, type PublisherHarness } from '@malote/outbox-core/testing'
import type { ConsumerStores } from '@malote/testing/consumer-stores'
import { preparing } from '@malote/testing/harness-error'
import type { KafkaService } from '@malote/testing/services/kafka'
import { scaled } from '@malote/testing/slowness'
import { ConfigResourceTypes } from 'kafkajs'
import { randomUUID } from 'node:crypto'
import { decodeMessage, headersOf } from '../src/decode.ts'
import { createKafkaConsumer, createKafkaPublisher, redriveDeadLetters } from '../src/index.ts'
import type { ClientUnderTest } from './clients.ts'
import type { KafkaBroker } from './kafka-broker.ts'

/** Default of the broker, for a batch of records. */
const largestRecord = 1_048_588
/** Of a batch with one record that has neither key nor headers, and a little less than a note takes. */
const recordOverhead = 100
const patienceMs = 20_000
/** Short, so that a crashed consumer's partitions go to another one soon; not so short that a busy machine's consumer loses them. */
const sessionTimeoutMs = Math.max(1_500, scaled(500))

/** The broker under test, which cases stop, and the client library that takes the adapter to it. */
export interface Surroundings {
  readonly service: KafkaService
  readonly broker: KafkaBroker
  readonly stores: ConsumerStores
  readonly connect: (brokers: readonly string[]) => ClientUnderTest
}

const brokerControl = ({ service }: Surroundings): Required<Pick<ConsumerHarness, 'stopBroker' | 'startBroker'>> => ({
  stopBroker: () => service.stop('kill'),
  startBroker: () => service.start(),
})

export function publisherHarness(surroundings: Surroundings): PublisherHarness {
  const { service, broker, connect } = surroundings
  const { client, sockets } = connect(service.brokers)
  return {
    createPublisher: () => Promise.resolve(createKafkaPublisher({ producer: client.producer, source: '/tests' })),
    freshTopic: () => broker.topic(),
    missingTopic: () => Promise.resolve(`missing-${randomUUID()}`),
    receive: async (topic, count) => {
      const records = await eventually(
        async () => {
          const read = await broker.read(topic)
          if (read.length < count) throw new Error(`${String(read.length)} of ${String(count)} records in the topic`)
          return read
        },
        { patienceMs },
      ).catch(() => broker.read(topic))
      return records.map(({ raw, key }) => ({
        message: decodeMessage(raw, topic),
        wire: headersOf(raw),
        ...(key === null ? {} : { brokerKey: key }),
      }))
    },
    maxMessageBytes: largestRecord,
    patienceMs,
    brokerRefusal: async () => ({
      // One partition, which takes all of a request or nothing of it: with more, neighbours may be in the topic twice.
      topic: await broker.topic({ partitions: 1, config: { 'max.message.bytes': '20000' } }),
      change: { body: 'x'.repeat(30_000) },
    }),
    // With one broker nothing else troubles a topic: it needs no more replicas in sync than it can have.
    troubledTopic: () => {
      const topic = `missing-${randomUUID()}`
      return Promise.resolve({ topic, mend: async () => void (await broker.topic({ name: topic })) })
    },
    keepsOrder: true,
    ordersByBrokerKey: true,
    ...(sockets === null
      ? {}
      : {
          cutConnections: () => Promise.resolve(sockets.cut()),
          openConnections: () => Promise.resolve(sockets.open),
        }),
    ...brokerControl(surroundings),
  }
}

export function consumerHarness(surroundings: Surroundings): ConsumerHarness {
  const { service, broker, stores, connect } = surroundings
  const severers = new WeakMap<Consumer, () => void>()
  const sendForeign = (topic: string, body: string): Promise<void> =>
    preparing('send a foreign record', async () => {
      const producer = broker.kafka.producer()
      await producer.connect()
      await producer.send({ topic, messages: [{ value: body }] })
      await producer.disconnect()
    })
  return {
    freshTopic: async () => {
      const topic = await broker.topic()
      await broker.topic({ name: `${topic}.dead`, partitions: 1 })
      return topic
    },
    createConsumer: (topic, options) => {
      const { client, sever } = connect(service.brokers)
      const consumer = createKafkaConsumer({
        ...options,
        consumer: client.consumer({
          groupId: `group-of-${topic}`,
          sessionTimeoutMs,
          rebalanceTimeoutMs: 2 * sessionTimeoutMs,
        }),
        topics: [topic],
        producer: client.producer,
      })
      severers.set(consumer, sever)
      return Promise.resolve(consumer)
    },
    // A broker that has just come back may refuse the first requests.
    send: async (messages) => {
      const publisher = broker.publisher()
      let rest = messages
      await eventually(async () => {
        const results = await publisher.publish(rest, new AbortController().signal)
        const failed = new Set(results.filter((result) => result.status === 'failed').map((result) => result.id))
        rest = rest.filter((message) => failed.has(message.id))
        if (rest.length > 0) throw new Error(`${String(rest.length)} messages were not accepted`)
      })
    },
    sendForeign,
    deadLetters: async (topic) =>
      (await broker.read(`${topic}.dead`)).map(({ raw }) => {
        const headers = headersOf(raw)
        return {
          id: headers['ce_id'] ?? null,
          body: raw.value ?? Buffer.alloc(0),
          note: readDeadLetterNote(headers),
        }
      }),
    removeDeadLetterPlace: (topic) =>
      preparing('delete a topic', async () => {
        await broker.admin.deleteTopics({ topics: [`${topic}.dead`] })
        await eventually(async () => {
          if ((await broker.admin.listTopics()).includes(`${topic}.dead`)) throw new Error('the topic is still there')
        })
      }),
    restoreDeadLetterPlace: async (topic) => void (await broker.topic({ name: `${topic}.dead`, partitions: 1 })),
    sendLargest: async (topic) => {
      const body = 'x'.repeat(largestRecord - recordOverhead)
      await sendForeign(topic, body)
      return body
    },
    narrowDeadLetterPlace: async (topic) => {
      const configEntries = [{ name: 'max.message.bytes', value: '2000' }]
      const resource = { type: ConfigResourceTypes.TOPIC, name: `${topic}.dead`, configEntries }
      await preparing('narrow a topic', () => broker.admin.alterConfigs({ validateOnly: false, resources: [resource] }))
    },
    redrive: (topic, options) => {
      const { client } = connect(service.brokers)
      const groupId = `redrive-of-${topic}`
      return redriveDeadLetters({
        deadLetterTopic: `${topic}.dead`,
        groupId,
        consumer: client.consumer({ groupId }),
        producer: client.producer(),
        admin: client.admin,
        ...options,
      })
    },
    crash: (consumer) => Promise.resolve(severers.get(consumer)?.()),
    consumerStore: () => stores.consumerStore(),
    redeliveryMs: 2 * sessionTimeoutMs + 3_000,
    patienceMs,
    ordersByKey: true,
    ordersRetries: true,
    takesStreamsInBatches: true,
    ordersAcrossConsumers: true,
    holdTimeoutMs: sessionTimeoutMs,
    ...brokerControl(surroundings),
  }
}
