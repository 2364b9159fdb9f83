import type { InBatchesOptions, StreamBatchFunction } from '@malote/outbox-core'

/** Accounts under way in a consumer at a time, each with all of its messages that are there: what the batches are made of. */
export const consumerConcurrency = 100

/**
 * Every step of an order waits this long for others to share its transaction with. Measured on two cores: 50 ms bring a quarter
 * more orders through than no wait, and an order that has five steps is done in half a second all the same.
 */
export const batching: InBatchesOptions = { maxSize: consumerConcurrency, lingerMs: 50 }

/** Nobody waits for those who only look on, and they are told of every order twice: their batches are larger, and an order has half as many transactions. */
export const listenerConcurrency = 200
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
