import type { Clock } from '../clock.ts'

/** A clock that moves only when told to. */
export interface ManualClock extends Clock {
  /** Moves both hands and fires what became due, in order; gives pending promises a turn after each timer. */
  advance(ms: number): Promise<void>
  /** Moves the wall clock alone, as an administrator or NTP does. */
  jumpWall(ms: number): void
  /** Timers waiting. */
  readonly pending: number
}

interface Timer {
  readonly dueMs: number
  readonly callback: () => void
}

/** @param startMs - the wall clock's start, in milliseconds since 1970 */
export function createManualClock(startMs = 0): ManualClock {
  const timers = new Set<Timer>()
  let elapsedMs = 0
  let wallOffsetMs = startMs

  function after(ms: number, callback: () => void): () => void {
    const timer = { dueMs: elapsedMs + ms, callback }
    timers.add(timer)
    return () => timers.delete(timer)
  }

  async function advance(ms: number): Promise<void> {
    const endMs = elapsedMs + ms
    for (;;) {
      const due = [...timers].filter((timer) => timer.dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs)[0]
      if (due === undefined) break
      elapsedMs = Math.max(elapsedMs, due.dueMs)
      timers.delete(due)
      due.callback()
      await new Promise((resolve) => setImmediate(resolve))
    }
    elapsedMs = endMs
  }

  return {
    get pending() {
      return timers.size
    },
    monotonicMs: () => elapsedMs,
    wallMs: () => elapsedMs + wallOffsetMs,
    jumpWall: (ms) => {
      wallOffsetMs += ms
    },
    advance,
    after,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve()
        const cancel = after(ms, resolve)
        signal?.addEventListener('abort', () => (cancel(), resolve()), { once: true })
      }),
  }
}
