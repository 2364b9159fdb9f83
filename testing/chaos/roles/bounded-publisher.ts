import { type Journal, nowMs } from '../journal.ts'
import type { Publisher } from '../library.ts'

/** Bytes of bodies that a relay may have in memory. */
export const maxBufferedBytes: number = 2 * 1024 * 1024

/**
 * Writes down when the relay hands out more than it may have. A batch counts until it is answered or given up: what a client still
 * holds of a batch that timed out is no longer the relay's, and on a busy machine it takes a moment to let go.
 */
export function boundedPublisher(publisher: Publisher, journal: Journal): Publisher {
  let inFlight = 0
  return {
    name: publisher.name,
    close: () => publisher.close(),
    publish: async (batch, signal) => {
      const bytes = batch.reduce((sum, { body }) => sum + body.length, 0)
      inFlight += bytes
      const leave = once(() => (inFlight -= bytes))
      signal.addEventListener('abort', leave, { once: true })
      if (inFlight > maxBufferedBytes) journal.write({ what: 'overfull', bytes: inFlight, atMs: nowMs() })
      try {
        return await publisher.publish(batch, signal)
      } finally {
        signal.removeEventListener('abort', leave)
        leave()
      }
    },
  }
}

function once(effect: () => void): () => void {
  let isDone = false
  return () => {
    if (!isDone) effect()
    isDone = true
  }
}
