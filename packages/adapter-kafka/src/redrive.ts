import {
  createRedriveCount,
  deadLetterHeader,
  type RedriveCount,
  type RedriveOptions,
  type RedriveReport,
  systemClock,
} from '@malote/outbox-core/adapter'
import { readDeadLetterNote } from '@malote/outbox-core'
import type {
  FetchedBatch,
  FetchedRecord,
  KafkaConsumer,
  KafkaOffsetsAdmin,
  KafkaProducer,
  KafkaRecord,
} from './client.ts'
import { firstHeaders } from './dead-letter.ts'
import { headersOf } from './decode.ts'

/** From which Kafka topic `redriveDeadLetters` brings dead letters back, under which group it remembers how far it got, and with which clients. */
export interface KafkaRedriveOptions extends RedriveOptions {
  /** Topic that holds the dead letters. */
  readonly deadLetterTopic: string
  /** A group of its own for redriving, always the same: its offsets say which letters were looked at. */
  readonly groupId: string
  /** A consumer of that group, not connected yet: `client.consumer({ groupId })`. */
  readonly consumer: KafkaConsumer
  /** A producer, not connected yet: `client.producer()`. */
  readonly producer: KafkaProducer
  /** `client.admin`, or an admin client of kafkajs that is connected. */
  readonly admin: KafkaOffsetsAdmin
  /** Kafka topic the letters go back to. @defaultValue the one each letter names as its source */
  readonly topic?: string
}

/**
 * Brings dead letters back to their topic, in the order of each key, where they start with a full count of attempts. Letters that come
 * meanwhile stay.
 *
 * Kafka deletes no single record. Letters that went back stay in the log behind the group's offset; letters that stay are written once more
 * behind the others, and so looked at again by the next redrive. A crash repeats at most the letters of one fetch: the inbox knows the copies.
 *
 * @throws what the client throws; nothing is lost then
 */
export async function redriveDeadLetters(options: KafkaRedriveOptions): Promise<RedriveReport> {
  const { consumer, producer, deadLetterTopic, dryRun = false } = options
  const count = createRedriveCount(options)
  const ends = await openPartitions(options)
  if (ends.size === 0) return count.report()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  try {
    if (!dryRun) await producer.connect()
    await consumer.connect()
    consumer.on('consumer.crash', ({ payload }) => reject((payload as { error?: unknown }).error))
    await consumer.subscribe({ topics: [deadLetterTopic], fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: async (fetched) => {
        await handleBatch(fetched, ends, count, options).catch(reject)
        if (ends.size === 0 || !count.hasRoom) resolve()
      },
    })
    await promise
  } finally {
    await consumer.disconnect()
    if (!dryRun) await producer.disconnect()
  }
  return count.report()
}

/** Where each partition that has letters to look at ends now. */
async function openPartitions({ admin, deadLetterTopic, groupId }: KafkaRedriveOptions): Promise<Map<number, bigint>> {
  const committed = await whenServed(() => admin.fetchOffsets({ groupId, topics: [deadLetterTopic] }))
  const begins = new Map(
    committed.flatMap(({ partitions }) => partitions.map(({ partition, offset }) => [partition, offset])),
  )
  const all = await admin.fetchTopicOffsets(deadLetterTopic)
  const open = all.filter(({ partition, high, low }) => {
    const begin = BigInt(begins.get(partition) ?? -1)
    return BigInt(high) > (begin < BigInt(low) ? BigInt(low) : begin)
  })
  return new Map(open.map(({ partition, high }) => [partition, BigInt(high)]))
}

/** The coordinator of a new group loads first, and kafkajs does not wait for it here: what passes is asked again, for ten seconds. */
async function whenServed<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  for (let tries = 1; ; tries++)
    try {
      return await ask()
    } catch (error) {
      if (tries === 40 || (error as { readonly retriable?: unknown }).retriable !== true) throw error
      await systemClock.sleep(250)
    }
}

async function handleBatch(
  fetched: FetchedBatch,
  ends: Map<number, bigint>,
  count: RedriveCount,
  { consumer, producer, deadLetterTopic, topic, dryRun = false }: KafkaRedriveOptions,
): Promise<void> {
  const { batch } = fetched
  const end = ends.get(batch.partition)
  if (end === undefined) return
  for (const record of batch.messages) {
    if (BigInt(record.offset) >= end || !count.hasRoom) break
    const isTaken = count.takes(readDeadLetterNote(headersOf(record)))
    if (!dryRun) {
      const source = topic ?? readDeadLetterNote(headersOf(record))?.source ?? deadLetterTopic
      await producer.send(
        isTaken
          ? { topic: source, messages: [whole(record)] }
          : { topic: deadLetterTopic, messages: [asItWas(record)] },
      )
      const offset = String(BigInt(record.offset) + 1n)
      await consumer.commitOffsets([{ topic: deadLetterTopic, partition: batch.partition, offset }])
    }
    fetched.resolveOffset(record.offset)
    if (BigInt(record.offset) + 1n >= end) ends.delete(batch.partition)
  }
}

const whole = (record: FetchedRecord): KafkaRecord => ({
  key: record.key,
  value: record.value,
  headers: firstHeaders(record),
})

function asItWas(record: FetchedRecord): KafkaRecord {
  const note = headersOf(record)[deadLetterHeader]
  const letter = whole(record)
  return note === undefined ? letter : { ...letter, headers: { ...letter.headers, [deadLetterHeader]: note } }
}
