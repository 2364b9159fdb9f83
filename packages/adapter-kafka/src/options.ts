import { invalidOption, numberOption } from '@malote/outbox-core/adapter'
import type { KafkaProducer } from './client.ts'

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

export interface KafkaPublisherOptions {
  /**
   * Makes a producer that is not connected yet: `() => kafka.producer(producerDefaults)`.
   *
   * A function, because a producer is used for one request at a time and never again after one failed: kafkajs does not
   * know then which sequence numbers the broker has seen, and the broker would take the next records for repetitions and
   * drop them while saying "accepted". It must be idempotent.
   */
  readonly producer: () => KafkaProducer
  /** CloudEvents `source`: which application speaks, for example `/brokerage/orders`. */
  readonly source: string
  /** From a message's topic to the Kafka topic. @defaultValue the same name */
  readonly topics?: (topic: string) => string
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
  readonly topics: (topic: string) => string
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
