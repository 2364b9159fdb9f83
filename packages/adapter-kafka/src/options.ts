import {
  type Backoff,
  type ConsumerOptions,
  type Delivery,
  exponentialBackoff,
  type ForeignMessage,
} from '@malote/outbox-core'
import {
  invalidOption,
  numberOption,
  type ResolvedConsumerOptions,
  resolveConsumerOptions,
} from '@malote/outbox-core/adapter'
import type { FetchedRecord, KafkaConsumer, KafkaProducer, TopicPartition } from './client.ts'

/**
 * kafkajs settings to build the publisher's producers with: `kafka.producer(producerDefaults)`.
 *
 * - `idempotent`: acknowledged by all in-sync replicas. Required, see `KafkaPublisherOptions.producer`.
 * - `retry.retries: NaN`: one try. kafkajs refuses 0 together with `idempotent`, and no number of tries is smaller than NaN. Its own
 *   retry sends after a failure under sequence numbers it has rolled back, also for partitions that had taken their
 *   records; the publisher tries again with a new producer instead.
 * - `allowAutoTopicCreation: false`: a mistyped topic fails visibly and is retried, instead of coming to life with one partition.
 */
export const producerDefaults: {
  readonly idempotent: true
  readonly maxInFlightRequests: number
  readonly allowAutoTopicCreation: false
  readonly retry: { readonly retries: number }
} = { idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false, retry: { retries: Number.NaN } }

/** How `createKafkaPublisher` makes its producers, and to which Kafka topic each topic goes. */
export interface KafkaPublisherOptions {
  /**
   * Makes a producer that is not connected yet: `client.producer` of a `KafkaClient`, or `() => kafka.producer(producerDefaults)` of kafkajs.
   *
   * A function, because a producer is used for one request at a time and never again after one failed: kafkajs does not
   * know then which sequence numbers the broker has seen, and the broker would take the next records for repetitions and
   * drop them while saying "accepted". It must be idempotent.
   */
  readonly producer: () => KafkaProducer
  /** CloudEvents `source`: which application speaks, for example `/brokerage/orders`. */
  readonly source: string
  /**
   * From a message's topic to the Kafka topic. May look at the ordering key; Kafka's own way to spread a topic is more partitions, which needs
   * nothing here. Messages of one topic and key must always go the same way. @defaultValue the same name
   */
  readonly topics?: (topic: string, orderingKey: string | null) => string
  /**
   * Largest record, in bytes with its headers and the batch around it: the topic's `max.message.bytes`. A larger message fails
   * permanently with `TOO_LARGE` and is not sent.
   *
   * @defaultValue 1_048_588: the broker's default
   */
  readonly maxMessageBytes?: number
  /**
   * Most bytes in one request, before compression. Kafka holds all records of a request that go to one partition against
   * `max.message.bytes`, so keep it at or below that.
   *
   * @defaultValue `maxMessageBytes`
   */
  readonly maxBatchBytes?: number
  /** Requests under way at the same time, each through a producer of its own. @defaultValue 4: as many as a relay publishes batches at once */
  readonly concurrency?: number
}

export interface ResolvedPublisherOptions {
  readonly source: string
  readonly topics: (topic: string, orderingKey: string | null) => string
  readonly maxMessageBytes: number
  readonly maxBatchBytes: number
  readonly concurrency: number
}

/** @throws OutboxError `INVALID_OPTION` */
export function resolvePublisherOptions(options: KafkaPublisherOptions): ResolvedPublisherOptions {
  if (typeof options.producer !== 'function')
    throw invalidOption('producer', options.producer, 'a function that makes a producer')
  if (typeof options.source !== 'string' || options.source === '')
    throw invalidOption('source', options.source, 'a URI reference such as "/brokerage/orders"')
  const maxMessageBytes = numberOption('maxMessageBytes', options.maxMessageBytes, 1_048_588, { min: 1_000 })
  return {
    source: options.source,
    topics: options.topics ?? ((topic) => topic),
    maxMessageBytes,
    maxBatchBytes: numberOption('maxBatchBytes', options.maxBatchBytes, maxMessageBytes, { min: 1_000 }),
    concurrency: numberOption('concurrency', options.concurrency, 4, { min: 1, max: 100 }),
  }
}

/**
 * kafkajs settings for the consumer: `kafka.consumer({ ...consumerDefaults, groupId })`.
 *
 * - `maxWaitTimeInMs: 250`: kafkajs waits this long between looks when nothing comes or everything is paused, 5 s by its own
 *   default, and sends heartbeats and sees resumed partitions only in between.
 */
export const consumerDefaults: { readonly maxWaitTimeInMs: number } = { maxWaitTimeInMs: 250 }

/** A delivery that says where its record lies, so that a handler can store the offset together with its effect. */
export interface KafkaDelivery extends Delivery {
  /** The Kafka topic, which `topics` of the publisher may have made of `message.topic`. */
  readonly topic: string
  readonly partition: number
  /** Kafka's own decimal text: offsets are 64 bits wide. */
  readonly offset: string
}

/** Offsets kept where the effects are, instead of in Kafka alone. */
export interface StoredOffsets {
  /**
   * Asked when a partition becomes ours: the offset to go on from (one after the last whose effect is stored), or null when
   * none is stored and Kafka's committed offset counts. Asked again until it resolves.
   */
  load(place: TopicPartition): Promise<string | null>
}

/** With which Kafka consumer `createKafkaConsumer` reads which topics, and where dead letters go. */
export interface KafkaConsumerOptions extends Omit<ConsumerOptions, 'handler'> {
  readonly handler: (delivery: KafkaDelivery) => Promise<void>
  /**
   * A consumer that is not connected yet: `client.consumer({ groupId })` of a `KafkaClient`, or `kafka.consumer({ ...consumerDefaults, groupId })` of
   * kafkajs. Ended by `stop`.
   */
  readonly consumer: KafkaConsumer
  /** Kafka topics to receive from. They must exist. */
  readonly topics: readonly string[]
  /**
   * Reads records that no publisher of ours sent and that are no CloudEvents; null leaves the record to the adapter. A record it throws
   * for becomes a dead letter. Order is kept by the record's key, whatever `orderingKey` says.
   */
  readonly decode?: (record: FetchedRecord & TopicPartition) => ForeignMessage | null
  /** Makes a producer for dead letters that is not connected yet: `client.producer`. See the publisher's. */
  readonly producer: () => KafkaProducer
  /** Topic for dead letters of a topic. It must exist: until it does, a dead message stays and its key waits. @defaultValue the topic's name followed by `.dead` */
  readonly deadLetterTopic?: string | ((topic: string) => string)
  /** Where a group without committed offsets begins. @defaultValue true: lose nothing */
  readonly fromBeginning?: boolean
  /**
   * Most records of one partition taken and not yet finished; above it the partition is not fetched from. One fetch may exceed it; no
   * handler begins further than this behind the first unfinished record. So many may be delivered again after a crash.
   *
   * @defaultValue 500
   */
  readonly maxBufferedMessages?: number
  /**
   * The handler stores `offset` in the transaction of its effect, and the partition goes on from there. Records of a partition
   * are then handled strictly one after the other, because one number says what is done.
   */
  readonly offsets?: StoredOffsets
  /** Pause before a lost broker is tried again, from the 1-based failure in a row. @defaultValue exponential from 100 ms to 5 s with full jitter */
  readonly reconnectBackoff?: Backoff
}

export interface ResolvedKafkaConsumerOptions extends ResolvedConsumerOptions {
  readonly consumer: KafkaConsumer
  readonly topics: readonly string[]
  readonly producer: () => KafkaProducer
  readonly decode: ((record: FetchedRecord & TopicPartition) => ForeignMessage | null) | null
  readonly deadLetterTopic: (topic: string) => string
  readonly fromBeginning: boolean
  readonly maxBufferedMessages: number
  readonly offsets: StoredOffsets | null
  readonly reconnectBackoff: Backoff
}

/** @throws OutboxError `INVALID_OPTION` */
export function resolveKafkaConsumerOptions(options: KafkaConsumerOptions): ResolvedKafkaConsumerOptions {
  const { topics, deadLetterTopic = (topic: string) => `${topic}.dead` } = options
  if (!Array.isArray(topics) || topics.length === 0)
    throw invalidOption('topics', topics, 'a list of at least one topic')
  // What is handed over is always a KafkaDelivery: the shared code passes it through untouched.
  const shared = resolveConsumerOptions({ ...options, handler: options.handler as ConsumerOptions['handler'] })
  return {
    ...shared,
    consumer: options.consumer,
    topics,
    producer: options.producer,
    decode: options.decode ?? null,
    deadLetterTopic: typeof deadLetterTopic === 'string' ? () => deadLetterTopic : deadLetterTopic,
    fromBeginning: options.fromBeginning ?? true,
    maxBufferedMessages: numberOption('maxBufferedMessages', options.maxBufferedMessages, 500, { min: 1 }),
    offsets: options.offsets ?? null,
    reconnectBackoff: options.reconnectBackoff ?? exponentialBackoff({ baseMs: 100, maxMs: 5_000 }),
  }
}
