/** Time and timers, behind one door. */
import { systemClock } from '@malote/outbox-core/adapter'

/** Milliseconds since an arbitrary start that never go backwards. */
export const monotonicMs = (): number => systemClock.monotonicMs()

/** Milliseconds since 1970. May jump. */
export const wallMs = (): number => systemClock.wallMs()

/** Resolves after `ms`. */
export function pause(ms: number): Promise<void> {
  return systemClock.sleep(ms)
}

/** Calls back once after `ms`; returns what cancels it. */
export function after(ms: number, callback: () => void): () => void {
  return systemClock.after(ms, callback)
}

/** As `after`, but the process may end meanwhile. */
export function inBackgroundAfter(ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, ms)
  timer.unref()
  return () => clearTimeout(timer)
}
