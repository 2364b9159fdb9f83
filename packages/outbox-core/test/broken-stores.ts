import type { ConsumerStore, HeldStreams, ReleasedStream } from '../src/index.ts'
import type { ConsumerHarness } from '../src/testing/index.ts'

/** Takes all that waits of a released stream, and begins with what came last. */
export function lastFirst(store: ConsumerStore): Partial<ConsumerStore> {
  const all = async (stream: ReleasedStream): Promise<Waiting[]> => {
    const waiting: Waiting[] = []
    for (let next = await stream.next(); next !== null; next = await stream.next()) {
      waiting.push(next)
      await stream.done(next.position)
    }
    return waiting
  }
  return {
    claimReleased: async (leaseMs) => {
      const stream = await store.claimReleased(leaseMs)
      const waiting = stream === null ? [] : await all(stream)
      const next = (): Promise<Waiting | null> => Promise.resolve(waiting.pop() ?? null)
      return stream === null ? null : { ...stream, next, done: () => Promise.resolve(true) }
    },
  }
}

type Waiting = NonNullable<Awaited<ReturnType<ReleasedStream['next']>>>

/** Ends the hold of a released stream, and what waited with it. */
export function emptied(store: ConsumerStore): Partial<ConsumerStore> {
  return {
    claimReleased: async (leaseMs) => {
      const stream = await store.claimReleased(leaseMs)
      for (let next = await stream?.next(); next != null; next = await stream?.next()) await stream?.done(next.position)
      await stream?.end()
      return null
    },
  }
}

/** Nothing is remembered over processes. */
export function forgetful(): Partial<ConsumerHarness> {
  const nothing = (): Promise<void> => Promise.resolve()
  const store: ConsumerStore = {
    look: () => Promise.resolve({ calls: 0, unended: 0, isHeld: false }),
    begin: nothing,
    ended: nothing,
    count: nothing,
    forget: nothing,
    sweep: nothing,
    hold: nothing,
    park: () => Promise.resolve(false),
    claimReleased: () => Promise.resolve(null),
  }
  const streams: HeldStreams = { list: () => Promise.resolve([]), release: () => Promise.resolve(false) }
  return { consumerStore: () => Promise.resolve({ store, streams, consumer: 'forgetful' }) }
}
