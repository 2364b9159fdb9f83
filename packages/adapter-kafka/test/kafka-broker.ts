import { randomUUID } from 'node:crypto'
import type { OutboxMessage } from '@malote/outbox-core'
import { preparing } from '@malote/testing/harness-error'
import { createKafkaTopics } from '@malote/testing/services/kafka-topics'
import { type Admin, type IHeaders, Kafka, type KafkaMessage, logLevel } from 'kafkajs'
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
  /** What the group has committed, by partition; -1 where nothing. */
  committed(groupId: string, topic: string): Promise<bigint[]>
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
  await preparing('connect to Kafka', () => admin.connect())
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
    committed: async (groupId, topic) => {
      const [offsets] = await preparing('read offsets', () => admin.fetchOffsets({ groupId, topics: [topic] }))
      const sorted = (offsets?.partitions ?? []).toSorted((a, b) => a.partition - b.partition)
      return sorted.map(({ offset }) => BigInt(offset))
    },
    read: (topic) => preparing(`read the topic ${topic}`, () => readTopic(kafka, topic)),
    close: async () => {
      for (const close of closers) await close()
    },
  }
}

/** An admin of its own: kafkajs keeps one set of metadata for all that share one. */
async function endsOf(kafka: Kafka, topic: string): ReturnType<Admin['fetchTopicOffsets']> {
  const admin = kafka.admin()
  await admin.connect()
  try {
    return await admin.fetchTopicOffsets(topic)
  } finally {
    await admin.disconnect()
  }
}

async function readTopic(kafka: Kafka, topic: string): Promise<ReadRecord[]> {
  const ends = await endsOf(kafka, topic)
  const open = new Set(ends.filter(({ high, low }) => high !== low).map(({ partition }) => partition))
  if (open.size === 0) return []
  // By place: the reader starts over when the group has to meet again.
  const records = new Map<string, ReadRecord>()
  const consumer = kafka.consumer({ groupId: randomUUID(), maxWaitTimeInMs: 50 })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  promise.catch(() => {}) // It is awaited below; a crash may come before that.
  consumer.on('consumer.crash', ({ payload }) => {
    if (!payload.restart) reject(payload.error) // It would never read on, and nobody would hear of it.
  })
  await consumer.connect()
  try {
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachMessage: ({ partition, message: raw }) => {
        const { offset } = raw
        records.set(`${String(partition)}/${offset}`, recordOf(partition, raw))
        const end = ends.find((end) => end.partition === partition)?.high
        if (BigInt(offset) + 1n === BigInt(end ?? 0)) open.delete(partition)
        if (open.size === 0) resolve()
        return Promise.resolve()
      },
    })
    await promise
  } finally {
    await consumer.disconnect()
  }
  return [...records.values()]
}

function recordOf(partition: number, raw: KafkaMessage): ReadRecord {
  const { offset, key, value, headers = {} } = raw
  return {
    partition,
    offset,
    key: key?.toString() ?? null,
    value: String(value),
    id: String(headers['ce_id']),
    headers,
    raw,
  }
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
