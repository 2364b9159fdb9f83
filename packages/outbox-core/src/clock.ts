/** Time and timers, behind one door so that tests can turn the hands. Everything that waits takes a clock. */
export interface Clock {
  /** Milliseconds since an arbitrary start that never go backwards. Stands still while a machine is suspended. */
  monotonicMs(): number
  /** Milliseconds since 1970. May jump. */
  wallMs(): number
  /** Resolves after `ms`, or at once when `signal` aborts; never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Calls back once after `ms`; returns what cancels it. */
  after(ms: number, callback: () => void): () => void
}

/** This machine's clock and timers: what everything uses that is not given another clock. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted === true) return resolve()
      const done = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      signal?.addEventListener('abort', done, { once: true })
    }),
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms)
    return () => clearTimeout(timer)
  },
}

/** Calls back when this turn of the event loop is over: what arrives in one turn belongs together. Returns what cancels it. */
export function afterThisTurn(callback: () => void): () => void {
  const immediate = setImmediate(callback)
  return () => clearImmediate(immediate)
}

/** A signal that aborts after `ms`, for clients that are told by a signal how long to wait. */
export function abortAfter(ms: number): AbortSignal {
  return AbortSignal.timeout(ms)
}
