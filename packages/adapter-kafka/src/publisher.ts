import {
  type OutboxMessage,
  type Publisher,
  type PublishFailure,
  PublishOutageError,
  type PublishResult,
} from '@malote/outbox-core'
import {
  aborted,
  batchResults,
  type BatchResults,
  connectionLost,
  createPublisher,
  tooLarge,
} from '@malote/outbox-core/adapter'
import { classifyError } from './classify.ts'
import { batchOverheadBytes, encodeMessage, recordBytes } from './encode.ts'
import { type KafkaPublisherOptions, type ResolvedPublisherOptions, resolvePublisherOptions } from './options.ts'
import { createProducerPool, type ProducerPool } from './producer-pool.ts'
import { type Outgoing, requestsOf, splitRequest } from './requests.ts'

/**
 * Publishes to Kafka: in order per key, acknowledged by all in-sync replicas, one result for each message.
 *
 * Kafka takes or refuses what a request holds for one partition as a whole, and a client tells of one refusal only. A refused
 * request is therefore sent again in smaller ones until the record at fault stands alone. Records that other partitions had
 * taken meanwhile are in the topic more than once: at least once, never out of order.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export function createKafkaPublisher(options: KafkaPublisherOptions): Publisher {
  const resolved = resolvePublisherOptions(options)
  const pool = createProducerPool(options.producer, resolved.concurrency)
  return createPublisher({
    name: 'kafka',
    publish: (batch, signal) =>
      publishBatch(batch, { pool, options: resolved, signal, results: batchResults(batch), outage: null }),
    release: () => pool.close(),
  })
}

/** One publish under way. */
interface Publication {
  readonly pool: ProducerPool
  readonly options: ResolvedPublisherOptions
  readonly signal: AbortSignal
  readonly results: BatchResults
  /** Set by the first request that reached nobody: the rest is not tried. */
  outage: PublishFailure | null
}

async function publishBatch(batch: readonly OutboxMessage[], publication: Publication): Promise<PublishResult[]> {
  const { options, signal, results } = publication
  const outgoing = batch.map((message) => outgoingOf(message, options))
  const topics = Map.groupBy(outgoing, (item) => item.topic)
  await Promise.all(
    [...topics].map(async ([topic, items]) => {
      for (const request of requestsOf(items, options.maxBatchBytes)) await send(topic, request, publication)
    }),
  )
  if (publication.outage !== null && !results.anyAccepted && !signal.aborted)
    throw new PublishOutageError(`Kafka is out of reach: ${publication.outage.message}`, {
      cause: publication.outage.cause,
    })
  return results.results()
}

function outgoingOf(message: OutboxMessage, options: ResolvedPublisherOptions): Outgoing {
  const { source, topics, maxMessageBytes } = options
  const topic = topics(message.topic, message.orderingKey)
  const record = encodeMessage(message, source, topic)
  const bytes = recordBytes(record)
  const refused = batchOverheadBytes + bytes > maxMessageBytes ? tooLargeFor(bytes, maxMessageBytes) : null
  return { message, topic, record, bytes, refused }
}

async function send(topic: string, request: readonly Outgoing[], publication: Publication): Promise<void> {
  const { pool, signal, results } = publication
  const open = request.filter((item) => !results.failIfBlocked(item.message))
  const [first] = open
  if (first === undefined) return
  const known = first.refused ?? publication.outage
  if (known !== null) return failAll(open, known, results)
  try {
    await pool.use((producer) => producer.send({ topic, messages: open.map((item) => item.record) }), signal)
  } catch (error) {
    if (signal.aborted) return failAll(open, (publication.outage ??= { ...aborted, cause: error }), results)
    const { scope, failure } = classifyError(error, topic)
    if (scope === 'broker') return failAll(open, (publication.outage ??= connectionLost(error)), results)
    if (scope === 'topic' || open.length === 1) return failAll(open, failure, results)
    for (const piece of splitRequest(open)) await send(topic, piece, publication)
    return
  }
  for (const { message } of open) results.accept(message)
}

function failAll(items: readonly Outgoing[], failure: PublishFailure, results: BatchResults): void {
  for (const { message } of items) results.fail(message, failure)
}

function tooLargeFor(bytes: number, limit: number): PublishFailure {
  const raise = "raise the topic's max.message.bytes together with maxMessageBytes"
  return tooLarge('the record with its headers', bytes + batchOverheadBytes, limit, raise)
}
