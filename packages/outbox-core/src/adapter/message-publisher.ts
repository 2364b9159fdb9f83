import { PublishOutageError } from '../errors.ts'
import { type OutboxMessage, streamOf } from '../message.ts'
import type { Publisher, PublishFailure, PublishResult } from '../publisher.ts'
import { batchResults } from './batch-results.ts'
import { createKeyedQueue } from './keyed-queue.ts'
import { aborted, connectionLost, createPublisher, type PublisherParts } from './publishing.ts'

/** What an adapter gives to `createMessagePublisher`: how to send one message, and how many at the same time. */
export interface MessagePublisherOptions extends Pick<PublisherParts, 'name' | 'release'> {
  /** Messages on their way at the same time, over all `publish` calls. @defaultValue 16 */
  readonly concurrency?: number
  /**
   * Sends one message. Resolves with null when the broker has it durably, and with why it does not otherwise.
   *
   * @throws anything when the broker as a whole is out of reach: nothing more of the batch is sent, and no message pays
   */
  readonly send: (message: OutboxMessage, signal: AbortSignal) => Promise<PublishFailure | null>
}

/**
 * A publisher for a broker that takes one message at a time: keeps the whole contract of `Publisher`, order per stream, outages and
 * aborts among it. What is left to write is `send`.
 */
export function createMessagePublisher(options: MessagePublisherOptions): Publisher {
  const queue = createKeyedQueue(options.concurrency ?? 16)
  return createPublisher({ ...options, publish: (batch, signal) => publishBatch(batch, signal, options, queue) })
}

async function publishBatch(
  batch: readonly OutboxMessage[],
  signal: AbortSignal,
  { name, send }: MessagePublisherOptions,
  queue: ReturnType<typeof createKeyedQueue>,
): Promise<readonly PublishResult[]> {
  const results = batchResults(batch)
  const outage: { error?: unknown } = {}

  async function sendOne(message: OutboxMessage): Promise<void> {
    if (results.failIfBlocked(message)) return
    if (signal.aborted) return results.fail(message, aborted)
    if ('error' in outage) return results.fail(message, connectionLost(outage.error))
    try {
      const failure = await orAborted(send(message, signal), signal)
      if (signal.aborted && failure !== null) results.fail(message, aborted)
      else if (failure === null) results.accept(message)
      else results.fail(message, failure)
    } catch (error) {
      if (!signal.aborted) outage.error ??= error
      results.fail(message, signal.aborted ? aborted : connectionLost(error))
    }
  }

  await settledOrAborted(
    batch.map((message) => queue.run(streamOf(message), () => sendOne(message))),
    signal,
  )
  if ('error' in outage && !results.anyAccepted && !signal.aborted) throw outageOf(name, outage.error)
  return results.results()
}

function outageOf(name: string, error: unknown): PublishOutageError {
  if (error instanceof PublishOutageError) return error
  const why = error instanceof Error ? error.message : String(error)
  return new PublishOutageError(`${name} is out of reach: ${why}`, { cause: error })
}

/** A `send` that ignores its signal must not keep its place, which the next one of its stream waits for: what it does later tells nobody. */
async function orAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  const { promise: aborting, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  try {
    return await Promise.race([work, aborting])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** Nor does an aborted publish wait for places that others have. */
async function settledOrAborted(work: readonly Promise<void>[], signal: AbortSignal): Promise<void> {
  let onAbort = (): void => {}
  const abort = new Promise<void>((resolve) => {
    onAbort = resolve
    signal.addEventListener('abort', onAbort, { once: true })
  })
  await Promise.race([Promise.all(work), ...(signal.aborted ? [] : [abort])])
  signal.removeEventListener('abort', onAbort)
}
