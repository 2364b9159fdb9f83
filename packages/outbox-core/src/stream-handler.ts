import type { Delivery, DeliveryHandler } from './consumer.ts'
import { numberOption } from './options.ts'

/** How much of one stream a handler takes at a time: see `inBatches`. */
export interface StreamBatchesOptions {
  /** What waits of one stream goes together, and nothing else: see `inBatches`. */
  readonly byStream: true
  /** Messages in one call at the most. @defaultValue 100: a statement of that size is about as cheap per row as it gets */
  readonly maxSize?: number
  /**
   * Bytes of the bodies in one call at the most. A larger message comes alone.
   *
   * @defaultValue 4_000_000: what a transaction writes in well under a second
   */
  readonly maxBytes?: number
}

/**
 * One call for messages of one stream, in order. Resolving says that all were applied; outcomes in the shape of `Promise.allSettled`, one
 * for each, that those before the first `rejected` were; throwing that none was.
 */
export type StreamBatchFunction = (
  deliveries: readonly Delivery[],
) => Promise<readonly PromiseSettledResult<unknown>[] | void>

/** What a consumer reads off a handler that takes streams in batches. */
export interface StreamBatches {
  readonly maxSize: number
  readonly maxBytes: number
  readonly run: StreamBatchFunction
}

/**
 * A consumer's handler that takes what waits of one stream together. Called as any other handler it takes one message, so it fits wherever
 * a handler does; a function around it that hides `byStream` makes batches of one.
 */
export interface StreamHandler extends DeliveryHandler {
  readonly byStream: StreamBatches
}

/** @throws OutboxError `INVALID_OPTION` */
export function createStreamHandler(run: StreamBatchFunction, options: StreamBatchesOptions): StreamHandler {
  const byStream = {
    maxSize: numberOption('maxSize', options.maxSize, 100, { min: 1 }),
    maxBytes: numberOption('maxBytes', options.maxBytes, 4_000_000, { min: 1 }),
    run,
  }
  const one: DeliveryHandler = async (delivery) => {
    const { error } = await appliedOf(byStream, [delivery])
    if (error !== undefined) throw error.reason
  }
  return Object.assign(one, { byStream })
}

/** What became of one call. */
export interface Applied {
  /** How many were applied, from the first. What was applied behind one that was not does not count: it comes again behind that one. */
  readonly count: number
  /** Absent when all were applied. */
  readonly error?: { readonly reason: unknown; readonly isOfOne: boolean }
}

/** Calls the function. Never rejects. */
export async function appliedOf({ run }: StreamBatches, deliveries: readonly Delivery[]): Promise<Applied> {
  try {
    const outcomes: unknown = await run(deliveries)
    if (outcomes === undefined) return { count: deliveries.length }
    if (!Array.isArray(outcomes)) throw new TypeError('a batch must resolve with nothing or an array of outcomes')
    // Guessing whose is missing would acknowledge the wrong one.
    if (outcomes.length !== deliveries.length)
      throw new TypeError(`a batch gave ${String(outcomes.length)} outcomes for ${String(deliveries.length)} messages`)
    const count = outcomes.findIndex((outcome) => !isFulfilled(outcome))
    if (count === -1) return { count: deliveries.length }
    return { count, error: { reason: reasonOf(outcomes[count]), isOfOne: true } }
  } catch (reason) {
    return { count: 0, error: { reason, isOfOne: false } }
  }
}

/** Only exactly `fulfilled` is success. */
const isFulfilled = (outcome: unknown): boolean => (outcome as { status?: unknown } | null)?.status === 'fulfilled'

function reasonOf(outcome: unknown): unknown {
  const { status, reason } = (outcome ?? {}) as { status?: unknown; reason?: unknown }
  return status === 'rejected'
    ? reason
    : new TypeError('a batch gave an outcome that is neither fulfilled nor rejected')
}
