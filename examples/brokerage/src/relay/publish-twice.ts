import type { Publisher } from '@malote/outbox-core'

export interface TwicePublisher extends Publisher {
  /** From now on every batch is sent twice, or not any more. */
  sendTwice(on: boolean): void
}

/** Wraps a publisher so that a demo can make duplicates at will: what the inbox is for, whatever they come from. */
export function publishTwice(inner: Publisher): TwicePublisher {
  let twice = false
  return {
    name: inner.name,
    sendTwice: (on) => {
      twice = on
    },
    publish: async (batch, signal) => {
      const results = await inner.publish(batch, signal)
      return twice ? inner.publish(batch, signal) : results
    },
    close: () => inner.close(),
  }
}
