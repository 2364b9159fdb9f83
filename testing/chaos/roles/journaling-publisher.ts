import { type Journal, nowMs } from '../journal.ts'
import type { Publisher } from '../library.ts'

/** Writes down what is handed to the broker before it is, and what the broker accepted. */
export function journalingPublisher(publisher: Publisher, journal: Journal): Publisher {
  let batches = 0
  return {
    name: publisher.name,
    close: () => publisher.close(),
    publish: async (batch, signal) => {
      const number = ++batches
      journal.write({ what: 'publishing', ids: batch.map(({ id }) => id), atMs: nowMs(), batch: number })
      const results = await publisher.publish(batch, signal)
      const ids = results.filter(({ status }) => status === 'accepted').map(({ id }) => id)
      journal.write({ what: 'accepted', ids, atMs: nowMs(), batch: number })
      return results
    },
  }
}
