import { type Journal, nowMs } from '../journal.ts'
import type { Publisher } from '../library.ts'

/** Bytes of bodies that a relay may have in memory. */
export const maxBufferedBytes: number = 2 * 1024 * 1024

interface InFlight {
  readonly bytes: number
  /** Of a single message, which may be there to try a destination: for that no bytes need to be left. */
  readonly triedTopic: string | null
}

/**
 * Writes down when the relay hands out more than it may have. A batch counts until it is answered or given up: what a client still
 * holds of a batch that timed out is no longer the relay's, and on a busy machine it takes a moment to let go.
 */
export function boundedPublisher(publisher: Publisher, journal: Journal): Publisher {
  const inFlight = new Set<InFlight>()
  return {
    name: publisher.name,
    close: () => publisher.close(),
    publish: async (batch, signal) => {
      const bytes = batch.reduce((sum, { body }) => sum + body.length, 0)
      const call = { bytes, triedTopic: batch.length === 1 ? (batch[0]?.topic ?? null) : null }
      inFlight.add(call)
      const leave = (): void => void inFlight.delete(call)
      signal.addEventListener('abort', leave, { once: true })
      const held = bytesOf(inFlight)
      if (held > maxBufferedBytes) journal.write({ what: 'overfull', bytes: held, atMs: nowMs() })
      try {
        return await publisher.publish(batch, signal)
      } finally {
        signal.removeEventListener('abort', leave)
        leave()
      }
    },
  }
}

/** Without the largest single message of each topic. */
function bytesOf(calls: Iterable<InFlight>): number {
  let sum = 0
  const tried = new Map<string, number>()
  for (const { bytes, triedTopic } of calls) {
    sum += bytes
    if (triedTopic !== null) tried.set(triedTopic, Math.max(bytes, tried.get(triedTopic) ?? 0))
  }
  for (const bytes of tried.values()) sum -= bytes
  return sum
}
