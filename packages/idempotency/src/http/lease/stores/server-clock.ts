import { monotonicMs as processMs } from '../../../clock.ts'
import type { ClockReading } from './lease-document.ts'

/** A server's clock, known only from the `Date` headers of its answers, which are cut to whole seconds. */
export interface ServerClock {
  /** Notes an answer: when it was asked for and received, by this process's monotonic clock, and its date. */
  observe(askedAtMs: number, receivedAtMs: number, dateMs: number): void
  /** Between which instants the server's clock stands now. @throws Error before the first observation */
  read(): ClockReading
}

/** After this long an observation is forgotten, because two clocks drift apart: 1 ms in 10 s at the worst allowed by NTP. */
const memoryMs = 60_000

/**
 * Each answer bounds the difference of the two clocks: the server's second had begun before the answer was received, and was
 * not over before it was asked for. Several answers together bound it to much less than a second.
 *
 * @param monotonicMs - this process's clock: durations only, its setting does not matter
 */
export function createServerClock(monotonicMs: () => number = processMs): ServerClock {
  let observations: { readonly atMs: number; readonly least: number; readonly most: number }[] = []
  return {
    observe: (askedAtMs, receivedAtMs, dateMs) => {
      const fresh = observations.filter(({ atMs }) => receivedAtMs - atMs < memoryMs).slice(-50)
      observations = [...fresh, { atMs: receivedAtMs, least: dateMs - receivedAtMs, most: dateMs + 1_000 - askedAtMs }]
    },
    read: () => {
      if (observations.length === 0) throw new Error('the server clock was read before the server answered once')
      const least = Math.max(...observations.map((one) => one.least))
      const most = Math.min(...observations.map((one) => one.most))
      const nowMs = monotonicMs()
      // A server clock that was set while we watched makes the bounds contradict each other: then the widest hold.
      const isSane = least <= most
      return {
        earliestMs: nowMs + (isSane ? least : Math.min(...observations.map((one) => one.least))),
        latestMs: nowMs + (isSane ? most : Math.max(...observations.map((one) => one.most))),
      }
    },
  }
}
