import {
  OutboxError,
  type OutboxMessage,
  type Publisher,
  type PublishFailure,
  PublishOutageError,
  type PublishResult,
} from '@malote/outbox-core'
import { classifyError, type RequestFailure } from './classify.ts'
import { batchOverheadBytes, encodeRecord, recordBytes } from './encode.ts'
import { type KafkaPublisherOptions, type ResolvedPublisherOptions, resolvePublisherOptions } from './options.ts'
import { createProducerPool, type ProducerPool } from './producer-pool.ts'
import { type Outgoing, requestsOf, splitRequest } from './requests.ts'
import { createTally, type Tally } from './tally.ts'

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
  const running = new Set<Promise<unknown>>()
  let closed: Promise<void> | undefined

  return {
    name: 'kafka',
    publish: async (batch, signal) => {
      if (closed !== undefined)
        throw new OutboxError('PUBLISHER_CLOSED', 'the Kafka publisher is closed: make a new one')
      const work = publishBatch(batch, { pool, options: resolved, signal, tally: createTally(), outage: null })
      running.add(work)
      return work.finally(() => running.delete(work))
    },
    close: () => (closed ??= Promise.allSettled(running).then(() => pool.close())),
  }
}

/** One publish under way. */
interface Publication {
  readonly pool: ProducerPool
  readonly options: ResolvedPublisherOptions
  readonly signal: AbortSignal
  readonly tally: Tally
  /** Set by the first request that reached nobody: the rest is not tried. */
  outage: PublishFailure | null
}

async function publishBatch(batch: readonly OutboxMessage[], publication: Publication): Promise<PublishResult[]> {
  const { options, signal, tally } = publication
  const outgoing = batch.map((message) => encodeMessage(message, options))
  const topics = Map.groupBy(outgoing, (item) => item.topic)
  await Promise.all(
    [...topics].map(async ([topic, items]) => {
      for (const request of requestsOf(items, options.maxBatchBytes)) await send(topic, request, publication)
    }),
  )
  if (publication.outage !== null && tally.accepted === 0 && !signal.aborted)
    throw new PublishOutageError(`Kafka is out of reach: ${publication.outage.message}`, {
      cause: publication.outage.cause,
    })
  return tally.results()
}

function encodeMessage(message: OutboxMessage, options: ResolvedPublisherOptions): Outgoing {
  const { source, topics, maxMessageBytes } = options
  const topic = topics(message.topic)
  const record = encodeRecord(message, source, topic)
  const bytes = recordBytes(record)
  const refused = batchOverheadBytes + bytes > maxMessageBytes ? tooLarge(bytes, maxMessageBytes) : null
  return { message, topic, record, bytes, refused }
}

async function send(topic: string, request: readonly Outgoing[], publication: Publication): Promise<void> {
  const { pool, signal, tally } = publication
  const open = request.filter((item) => !tally.failIfBlocked(item.message))
  const [first] = open
  if (first === undefined) return
  const known = first.refused ?? publication.outage
  if (known !== null) return failAll(open, known, tally)
  try {
    await pool.use((producer) => producer.send({ topic, messages: open.map((item) => item.record) }), signal)
  } catch (error) {
    const { scope, failure } = signal.aborted ? aborted(error) : classifyError(error, topic)
    if (scope === 'broker') publication.outage ??= failure.code === 'ABORTED' ? failure : connectionLost(failure)
    if (scope === 'broker') return failAll(open, publication.outage ?? failure, tally)
    if (scope === 'topic' || open.length === 1) return failAll(open, failure, tally)
    for (const piece of splitRequest(open)) await send(topic, piece, publication)
    return
  }
  for (const { message } of open) tally.accept(message)
}

function failAll(items: readonly Outgoing[], failure: PublishFailure, tally: Tally): void {
  for (const { message } of items) tally.fail(message, failure)
}

function aborted(cause: unknown): RequestFailure {
  const message = 'aborted before the broker answered'
  return { scope: 'broker', failure: { kind: 'retryable', code: 'ABORTED', message, cause } }
}

/** Under the name the relay knows: what a broker that went away left unanswered pays no attempt. */
function connectionLost({ code, message, cause }: PublishFailure): PublishFailure {
  return { kind: 'retryable', code: 'CONNECTION_LOST', message: `${code}: ${message}`, cause }
}

function tooLarge(bytes: number, limit: number): PublishFailure {
  return {
    kind: 'permanent',
    code: 'TOO_LARGE',
    message: `the record takes up to ${String(bytes + batchOverheadBytes)} bytes and the limit is ${String(limit)}: store the body elsewhere and send a reference, or raise the topic's max.message.bytes together with maxMessageBytes`,
  }
}
