import type { Publisher } from '@malote/outbox-core'
import type { HoldPoint } from '../process/run-role.ts'

export interface AnnouncedPublisher extends Publisher {
  /** The next suitable publish stops at this point and is announced. */
  holdNext(at: HoldPoint): void
}

/** Longest hold. If nobody kills the relay by then, it goes on as if nothing had been. */
const holdMs = 5_000

/**
 * Wraps a publisher so that a test or a demo can kill this process at an instant it chose, in the middle of a publish:
 *
 * - `publish-started`: the batch is on its way; the broker may have all of it, some, or nothing.
 * - `publish-accepted`: the broker has answered and has the messages, but the relay does not know yet: they are
 *   still in the outbox, and whoever relays next sends them a second time. Only a batch with an unordered message is chosen:
 *   a FIFO queue recognises the repeat of an ordered one itself, and the inbox would get nothing to absorb.
 *
 * The wait makes the instant certain, nothing else: without it the kill would race with the settle. The death itself is a
 * real SIGKILL, and nothing of what follows is simulated.
 */
export function announcePublishes(inner: Publisher, announce: (at: HoldPoint) => void): AnnouncedPublisher {
  let hold: HoldPoint | null = null

  async function held(at: HoldPoint): Promise<void> {
    hold = null
    announce(at)
    await new Promise((resolve) => setTimeout(resolve, holdMs))
  }

  return {
    name: inner.name,
    holdNext: (at) => {
      hold = at
    },
    publish: async (batch, signal) => {
      const publishing = inner.publish(batch, signal)
      if (hold === 'publish-started' && batch.length > 0) {
        const [results] = await Promise.all([publishing, held('publish-started')])
        return results
      }
      const results = await publishing
      const unordered = new Set(batch.filter(({ orderingKey }) => orderingKey === null).map(({ id }) => id))
      if (hold === 'publish-accepted' && results.some(({ id, status }) => status === 'accepted' && unordered.has(id)))
        await held('publish-accepted')
      return results
    },
    close: () => inner.close(),
  }
}
