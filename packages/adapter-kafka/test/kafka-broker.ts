import { randomUUID } from 'node:crypto'
import type { OutboxMessage } from '@malote/outbox-core'
import { createKafkaTopics } from '@malote/testing/services/kafka-topics'
import { type Admin, type IHeaders, Kafka, logLevel } from 'kafkajs'
import { createKafkaPublisher, type FetchedRecord, type KafkaPublisherOptions, producerDefaults } from '../src/index.ts'
import type { Sockets } from './sockets.ts'

export interface ReadRecord {
  readonly partition: number
  readonly offset: string
  readonly key: string | null
  readonly value: string
  readonly id: string
  readonly headers: IHeaders
  readonly raw: FetchedRecord
}

/** A connection to the broker under test, and what was made through it, closed together. */
export interface KafkaBroker {
  readonly kafka: Kafka
  readonly admin: Admin
  /** A new topic, of a random name unless told. */
  topic(settings?: { name?: string; partitions?: number; config?: Readonly<Record<string, string>> }): Promise<string>
  publisher(options?: Partial<KafkaPublisherOptions>): ReturnType<typeof createKafkaPublisher>
  /** Everything in the topic, by a plain consumer that reads to the end as of now. */
  read(topic: string): Promise<ReadRecord[]>
  close(): Promise<void>
}

/** A client that says nothing and gives up soon. */
export function kafkaClient(brokers: readonly string[], sockets?: Sockets): Kafka {
  return new Kafka({
    brokers: [...brokers],
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 50, retries: 3 },
    ...(sockets === undefined ? {} : { socketFactory: sockets.factory }),
  })
}

export async function connectKafka(brokers: readonly string[]): Promise<KafkaBroker> {
  const kafka = kafkaClient(brokers)
  const admin = kafka.admin()
  await admin.connect()
  const closers: (() => Promise<void>)[] = [() => admin.disconnect()]
  return {
    kafka,
    admin,
    topic: async ({ name = `test-${randomUUID()}`, partitions = 3, config = {} } = {}) => {
      const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }))
      await createKafkaTopics(kafka, [{ topic: name, numPartitions: partitions, configEntries }])
      return name
    },
    publisher: (options) => {
      const publisher = createKafkaPublisher({
        producer: () => kafka.producer(producerDefaults),
        source: '/tests',
        ...options,
      })
      closers.unshift(() => publisher.close())
      return publisher
    },
    read: (topic) => readTopic(kafka, admin, topic),
    close: async () => {
      for (const close of closers) await close()
    },
  }
}

async function readTopic(kafka: Kafka, admin: Admin, topic: string): Promise<ReadRecord[]> {
  const ends = await admin.fetchTopicOffsets(topic)
  const open = new Set(ends.filter(({ high, low }) => high !== low).map(({ partition }) => partition))
  if (open.size === 0) return []
  // By place: the reader starts over when the group has to meet again.
  const records = new Map<string, ReadRecord>()
  const consumer = kafka.consumer({ groupId: randomUUID(), maxWaitTimeInMs: 50 })
  const { promise, resolve } = Promise.withResolvers<void>()
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: ({ partition, message: raw }) => {
      const { offset, key, value, headers = {} } = raw
      const id = String(headers['ce_id'])
      records.set(`${String(partition)}/${offset}`, {
        partition,
        offset,
        key: key?.toString() ?? null,
        value: String(value),
        id,
        headers,
        raw,
      })
      const end = ends.find((end) => end.partition === partition)?.high
      if (BigInt(offset) + 1n === BigInt(end ?? 0)) open.delete(partition)
      if (open.size === 0) resolve()
      return Promise.resolve()
    },
  })
  await promise
  await consumer.disconnect()
  return [...records.values()]
}

let made = 0

export function aMessage(change: Partial<OutboxMessage> = {}): OutboxMessage {
  return {
    id: randomUUID(),
    topic: 'orders',
    type: 'order.accepted',
    orderingKey: null,
    headers: {},
    body: `{"n":${String(made++)}}`,
    contentType: 'application/json',
    createdAt: new Date('2026-01-02T03:04:05.678Z'),
    attempt: 1,
    ...change,
  }
}
