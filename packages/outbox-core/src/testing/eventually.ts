import { systemClock } from '../clock.ts'
import { patience } from './patience.ts'

/** How long `eventually` keeps looking, and how often. */
export interface EventuallyOptions {
  /**
   * Give up after this many milliseconds, times the number in the environment variable `MALOTE_PATIENCE`: set it above 1 on a
   * machine that is slow. @defaultValue 20_000: a broker's restart, with room
   */
  readonly patienceMs?: number
  /** Pause between looks, in milliseconds. @defaultValue 25 */
  readonly intervalMs?: number
}

/**
 * Looks again and again until `look` stops throwing, and gives what it returned. For what a broker does in its own time;
 * everything that can be awaited should be awaited instead.
 *
 * @throws the last error of `look`, with the patience spent noted in its message
 */
export async function eventually<Seen>(
  look: () => Seen | Promise<Seen>,
  options: EventuallyOptions = {},
): Promise<Seen> {
  const { intervalMs = 25 } = options
  const patienceMs = Math.round((options.patienceMs ?? 20_000) * patience())
  const deadlineMs = systemClock.monotonicMs() + patienceMs
  for (;;) {
    try {
      return await look()
    } catch (error) {
      if (systemClock.monotonicMs() < deadlineMs) {
        await systemClock.sleep(intervalMs)
        continue
      }
      if (error instanceof Error) error.message = `${error.message} (still so after ${String(patienceMs)} ms)`
      throw error
    }
  }
}
