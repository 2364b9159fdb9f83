import { expect, it } from 'vitest'
import { chaosArguments } from '../arguments.ts'
import { type PlantedInRelays, plantedInRelays, zombie } from '../planted-variants.ts'
import { type ChaosRun, runChaos } from '../run-chaos.ts'
import { whereabouts } from '../run-until-decided.ts'

/** A variant of the system, and the faults that show it. */
type Planted = Pick<PlantedInRelays, 'variant' | 'faults' | 'flags'>

/** A run and at most four more, each with another plan and twice the time. */
const runs = 5

/**
 * Short runs on the log until one decides. A fault has to meet a message at the right instant, and a busy machine makes fewer of
 * them: a run in which it met none, or whose messages were not through, proves nothing and is named. One with a violation is the last.
 */
async function decidedRun(
  { variant, faults, flags = [] }: Planted,
  isMet: (run: ChaosRun) => boolean,
): Promise<ChaosRun> {
  const few = ['--broker', 'log', '--relays', '2', '--consumers', '1', '--every', '2500', '--drain', '4', '--hasty']
  for (let number = 1; number <= runs; number++) {
    const time = ['--minutes', String(0.1 * 2 ** (number - 1)), '--seed', String(number)]
    const run = await runChaos(
      chaosArguments(['--variant', variant, '--faults', faults, ...few, ...flags, ...time], () => {}),
    )
    const { report, health } = run
    const counts = { violations: report.violations.length, undelivered: report.undelivered.length }
    console.info(JSON.stringify({ variant, ...report, ...counts, drain: health.drain }))
    const isThrough = report.undelivered.length === 0
    if (report.violations.length > 0 || (isThrough && isMet(run))) return run
    const why = isThrough ? 'the fault that was planted met nothing' : whereabouts(run)
    console.warn(`inconclusive: ${why} (${variant}, run ${String(number)} of ${String(runs)})`)
  }
  throw new Error(`${variant}: ${String(runs)} runs were inconclusive`)
}

it.each(plantedInRelays)('$name', async ({ seenAs, ...planted }) => {
  const { report } = await decidedRun(planted, () => false)

  const broken = new Set(report.violations.map(({ rule }) => rule))
  for (const rules of seenAs) expect(rules.filter((rule) => broken.has(rule))).not.toEqual([])
})

it('the same zombie with the fence buries nothing', async () => {
  // Only a relay that was paused while it published reports a failure of a good message: without one nothing was fenced off.
  const hasZombieFailed = ({ history }: ChaosRun): boolean => {
    const good = new Set(history.committed.filter(({ isDoomed }) => !isDoomed).map(({ id }) => id))
    return history.publications.some(({ id, answer }) => answer === 'refused' && good.has(id))
  }

  const { report } = await decidedRun({ variant: 'zombie-failures', ...zombie }, hasZombieFailed)

  expect(report.violations).toEqual([])
})
