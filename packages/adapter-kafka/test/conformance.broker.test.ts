import { type Consumer, readDeadLetterNote } from '@malote/outbox-core'
import {
  consumerConformance,
  type ConsumerHarness,
  eventually,
  publisherConformance,
  type PublisherHarness,
} from '@malote/outbox-core/testing'
import { describeConformance } from '@malote/testing/conformance'
import { type ConsumerStores, openConsumerStores } from '@malote/testing/consumer-stores'
import { type KafkaService, startKafka } from '@malote/testing/services/kafka'
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, inject } from 'vitest'
import { decodeMessage, headersOf } from '../src/decode.ts'
import {
  consumerDefaults,
  createKafkaConsumer,
  createKafkaPublisher,
  producerDefaults,
  redriveDeadLetters,
} from '../src/index.ts'
import { connectKafka, type KafkaBroker, kafkaClient } from './kafka-broker.ts'
import { createSockets, type Sockets } from './sockets.ts'

const patienceMs = 20_000
/** Short, so that a crashed consumer's partitions go to another one within the patience of a test. */
const sessionTimeout = 1_500

let service: KafkaService
let broker: KafkaBroker
let stores: ConsumerStores

// A broker of its own: cases stop it.
beforeAll(async () => {
  service = await startKafka({ exclusive: true })
  broker = await connectKafka(service.brokers)
  stores = await openConsumerStores(inject('postgresUrl'))
})
afterAll(async () => {
  await stores.close()
  await broker.close()
  await service.dispose()
})

const brokerControl = { stopBroker: () => service.stop('kill'), startBroker: () => service.start() }

const publisherSockets = createSockets()

const publisherHarness: PublisherHarness = {
  createPublisher: () => {
    const kafka = kafkaClient(service.brokers, publisherSockets)
    return Promise.resolve(createKafkaPublisher({ producer: () => kafka.producer(producerDefaults), source: '/tests' }))
  },
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
  maxMessageBytes: 1_048_588,
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
  cutConnections: () => Promise.resolve(publisherSockets.cut()),
  openConnections: () => Promise.resolve(publisherSockets.open),
  ...brokerControl,
}

const socketsOf = new WeakMap<Consumer, Sockets>()

const consumerHarness: ConsumerHarness = {
  freshTopic: async () => {
    const topic = await broker.topic()
    await broker.topic({ name: `${topic}.dead`, partitions: 1 })
    return topic
  },
  createConsumer: (topic, options) => {
    const sockets = createSockets()
    const kafka = kafkaClient(service.brokers, sockets)
    const timing = { sessionTimeout, heartbeatInterval: 300, rebalanceTimeout: 3_000 }
    const consumer = createKafkaConsumer({
      ...options,
      consumer: kafka.consumer({ ...consumerDefaults, ...timing, groupId: `group-of-${topic}` }),
      topics: [topic],
      producer: () => kafka.producer(producerDefaults),
    })
    socketsOf.set(consumer, sockets)
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
  sendForeign: async (topic, body) => {
    const producer = broker.kafka.producer()
    await producer.connect()
    await producer.send({ topic, messages: [{ value: body }] })
    await producer.disconnect()
  },
  deadLetters: async (topic) =>
    (await broker.read(`${topic}.dead`)).map(({ raw }) => {
      const headers = headersOf(raw)
      return {
        id: headers['ce_id'] ?? null,
        body: raw.value ?? Buffer.alloc(0),
        note: readDeadLetterNote(headers),
      }
    }),
  removeDeadLetterPlace: async (topic) => {
    await broker.admin.deleteTopics({ topics: [`${topic}.dead`] })
    await eventually(async () => {
      if ((await broker.admin.listTopics()).includes(`${topic}.dead`)) throw new Error('the topic is still there')
    })
  },
  restoreDeadLetterPlace: async (topic) => void (await broker.topic({ name: `${topic}.dead`, partitions: 1 })),
  redrive: (topic, options) => {
    const groupId = `redrive-of-${topic}`
    return redriveDeadLetters({
      deadLetterTopic: `${topic}.dead`,
      groupId,
      consumer: broker.kafka.consumer({ ...consumerDefaults, groupId }),
      producer: broker.kafka.producer(producerDefaults),
      admin: broker.admin,
      ...options,
    })
  },
  crash: (consumer) => Promise.resolve(socketsOf.get(consumer)?.sever()),
  consumerStore: () => stores.consumerStore(),
  redeliveryMs: 2 * sessionTimeout + 3_000,
  patienceMs,
  ordersByKey: true,
  ordersRetries: true,
  takesStreamsInBatches: true,
  ordersAcrossConsumers: true,
  holdTimeoutMs: sessionTimeout,
  ...brokerControl,
}

describeConformance('publisher', 'kafka (kafkajs)', publisherConformance, () => publisherHarness)
describeConformance('consumer', 'kafka (kafkajs)', consumerConformance, () => consumerHarness, {
  unacknowledged:
    'Kafka keeps no count of what it handed out: a consumer that reads ahead is bounded by maxBufferedMessages',
})
