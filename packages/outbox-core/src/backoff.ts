import { numberOption } from './options.ts'

/** From the 1-based attempt that failed to the pause before the next, in milliseconds. */
export type Backoff = (attempt: number) => number

/** How long `exponentialBackoff` makes a failed message wait: the first ceiling, the last one, and the source of chance. */
export interface ExponentialBackoffOptions {
  /** Ceiling of the first pause, in milliseconds. @defaultValue 1_000: longer than a broker's hiccup */
  readonly baseMs?: number
  /** Ceiling of every pause, in milliseconds. @defaultValue 300_000: an operator's fix shows within five minutes */
  readonly maxMs?: number
  /** Source of randomness in [0, 1). @defaultValue Math.random */
  readonly random?: () => number
}

/**
 * Doubles from `baseMs` to `maxMs` with full jitter: a uniform draw between 0 and the ceiling, which spreads a crowd of
 * retries best (AWS Architecture Blog, "Exponential Backoff And Jitter").
 */
export function exponentialBackoff(options: ExponentialBackoffOptions = {}): Backoff {
  const baseMs = numberOption('baseMs', options.baseMs, 1_000, { min: 1 })
  const maxMs = numberOption('maxMs', options.maxMs, 300_000, { min: baseMs })
  const random = options.random ?? Math.random
  return (attempt) => Math.floor(random() * Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 40)))
}

/**
 * Source of chance for whoever tries again and again until somebody has mended something: no pause is shorter than half its
 * ceiling. As many tries as between 0 and one and a half times the ceiling, and none of them at once after the one before.
 */
export const inUpperHalf = (): number => (1 + Math.random()) / 2

/** What a timer can count, in milliseconds: a longer one would fire at once. */
const longestMs = 2 ** 31 - 1

/** Gives the pause a caller's backoff asks for, or the default's when it throws or gives no pause at all: its mistake must not stop messages. */
export function soundBackoff(backoff: Backoff | undefined, fallback: Backoff = exponentialBackoff()): Backoff {
  if (backoff === undefined) return fallback
  let warned = false
  return (attempt) => {
    try {
      const ms: unknown = backoff(attempt)
      if (typeof ms === 'number' && ms >= 0) return Math.min(ms, longestMs)
      if (ms instanceof Promise) ms.catch(() => {}) // Reported below as what it is: no number.
      throw new RangeError(`it returned ${typeof ms === 'number' ? String(ms) : typeof ms}`)
    } catch (error) {
      if (!warned)
        process.emitWarning(
          `a backoff function failed and the default is used (reported once): ${error instanceof Error ? error.message : typeof error}`,
          'MaloteWarning',
        )
      warned = true
      return fallback(attempt)
    }
  }
}
