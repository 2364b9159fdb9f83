import type { Clock } from '@malote/outbox-core/adapter'
import { asksToJoin, isPassing, told } from './failures.ts'

/** Pause before what passes by itself is asked for again, in milliseconds, and how often in a row: ten seconds together. */
export const retryMs = 250
export const maxRetries = 40

/**
 * Asks again while what fails passes by itself: a coordinator loads, a leader is elected, the group meets. Settings of the client let it try
 * once.
 *
 * @throws what the last answer was, as `told` makes of it
 */
export async function untilServed<Answer>(clock: Clock, ask: () => Promise<Answer>): Promise<Answer> {
  for (let tries = 1; ; tries++)
    try {
      return await ask()
    } catch (error) {
      if (tries === maxRetries || !(asksToJoin(error) || isPassing(error))) throw told(error)
      await clock.sleep(retryMs)
    }
}
