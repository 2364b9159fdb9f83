import { outcomeOf } from '../history/check-history.ts'
import { type ChaosOptions, type ChaosRun, runChaos } from './run-chaos.ts'

/** How often a run that decided nothing is repeated, each time with twice the time to drain. */
const attempts = 3

/**
 * Runs chaos until it has decided something. A run whose messages were not through in time is named and repeated with more time.
 * A run with a violation is never repeated.
 *
 * @throws Error when messages are still on their way after the last attempt: they are stuck
 */
export async function runUntilDecided(options: ChaosOptions, run: typeof runChaos = runChaos): Promise<ChaosRun> {
  for (let attempt = 1; ; attempt++) {
    const drainMs = options.drainMs * 2 ** (attempt - 1)
    const result = await run({ ...options, drainMs })
    if (outcomeOf(result.report) !== 'inconclusive') return result
    const told = `inconclusive (seed ${String(options.seed)}): ${whereabouts(result)}`
    console.warn(told)
    if (attempt === attempts) throw new Error(`${told}, in each of ${String(attempts)} runs: they are stuck`)
  }
}

/** @returns for example `3 messages undelivered (2 in the outbox, 1 at the broker) when nothing had got on for 8000 ms` */
export function whereabouts({ report: { undelivered }, health }: Pick<ChaosRun, 'report' | 'health'>): string {
  const places = { outbox: 'in the outbox', broker: 'at the broker', consumer: 'at a consumer' }
  const parts = Object.entries(places).flatMap(([place, words]) => {
    const count = undelivered.filter(({ at }) => at === place).length
    return count === 0 ? [] : [`${String(count)} ${words}`]
  })
  return `${String(undelivered.length)} messages undelivered (${parts.join(', ')}) when ${health.drain.ended}`
}
