import type { InBatchesOptions, StreamBatchFunction } from '@malote/outbox-core'

/** Accounts under way in a consumer at a time, each with all of its messages that are there: what the batches are made of. */
export const consumerConcurrency = 200

/**
 * Every step of an order waits this long for others to share its transaction with, unless all that are in hand are there already. What a
 * transaction costs is shared by its orders: to settle one takes 0.32 ms of processor time among 32, 0.22 among 64 and 0.14 among 128
 * (`bench/brokerage/batch-size.ts`). An order has three such steps, so under load it is done a third of a second later than it could be.
 */
export const batching: InBatchesOptions = { maxSize: consumerConcurrency, lingerMs: 120 }

/** Nobody waits for those who only look on, and they are told of every order twice. */
export const listenerConcurrency = 400
export const batchingOfListeners: InBatchesOptions = { maxSize: listenerConcurrency, lingerMs: 250 }

/** What a consumer has in hand. */
export interface Hand {
  /** Batching that waits for nobody when everything in hand has arrived: one account alone has no company. */
  readonly batching: InBatchesOptions
  readonly counted: (run: StreamBatchFunction) => StreamBatchFunction
}

export function createHand(given: InBatchesOptions = batching): Hand {
  let size = 0
  return {
    batching: { ...given, expected: () => size },
    counted: (run) => async (deliveries) => {
      size++
      try {
        return await run(deliveries)
      } finally {
        size--
      }
    },
  }
}
