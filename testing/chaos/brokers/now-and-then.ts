import { setTimeout as sleep } from 'node:timers/promises'
import { nowMs } from '../journal.ts'

/** What time is for who waits; a test has its own. */
export interface Time {
  nowMs(): number
  sleep(ms: number): Promise<unknown>
}

/** How long it is refused, and how long it is allowed, in milliseconds: a relay tries several times in each. */
const phaseMs = 200

/**
 * Refuses and allows in turn for `forMs` milliseconds. They are a time and no number of turns: a broker on a busy machine takes seconds to
 * be told, and would be in trouble for as many times longer. It is told one thing at a time, and last that everything is allowed.
 *
 * @param refuse - resolves once it is refused, with what allows it again
 */
export async function refuseNowAndThen(
  forMs: number,
  refuse: () => Promise<() => Promise<void>>,
  time: Time = { nowMs, sleep },
): Promise<void> {
  const endMs = time.nowMs() + forMs
  const phase = (): Promise<unknown> => time.sleep(Math.max(0, Math.min(phaseMs, endMs - time.nowMs())))
  do {
    const allow = await refuse()
    await phase()
    await allow()
    await phase()
  } while (time.nowMs() < endMs)
}
