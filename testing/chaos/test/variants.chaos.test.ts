import { expect, it } from 'vitest'
import { chaosArguments } from '../arguments.ts'
import { type ChaosRun, runChaos } from '../run-chaos.ts'
import { whereabouts } from '../run-until-decided.ts'

/** One rule of the protocol taken out by a wrapper, and the fault that shows it. */
type Planted = readonly [variant: string, fault: string, ...more: string[]]

/** A run and at most four more, each with another plan and twice the time. */
const runs = 5

/**
 * Short runs on the log until one decides. A fault has to meet a message at the right instant, and a busy machine makes fewer of
 * them: a run in which it met none, or whose messages were not through, proves nothing and is named. One with a violation is the last.
 */
async function decidedRun([variant, fault, ...more]: Planted, isMet: (run: ChaosRun) => boolean): Promise<ChaosRun> {
  const few = ['--broker', 'log', '--relays', '2', '--consumers', '1', '--every', '2500', '--drain', '4', '--hasty']
  for (let number = 1; number <= runs; number++) {
    const time = ['--minutes', String(0.1 * 2 ** (number - 1)), '--seed', String(number)]
    const run = await runChaos(
      chaosArguments(['--variant', variant, '--faults', fault, ...few, ...more, ...time], () => {}),
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

/** @returns the rules whose breach was seen */
async function rulesBrokenBy(...planted: Planted): Promise<Set<string>> {
  const { report } = await decidedRun(planted, () => false)
  return new Set(report.violations.map(({ rule }) => rule))
}

it('settling before the broker has acknowledged is seen as loss', async () => {
  expect(await rulesBrokenBy('acknowledge-before-broker', 'kill-relay')).toContain('lost')
})

it('a message added beside its transaction is seen as one of a transaction that did not commit', async () => {
  expect(await rulesBrokenBy('add-outside-the-transaction', 'kill-writer-at-failpoint')).toContain('not-committed')
})

it('a published row that stays is seen as a repeat without a fault', async () => {
  expect(await rulesBrokenBy('published-rows-stay', 'relay-leaves')).toContain('duplicate-without-fault')
})

it('a consumer that acknowledges before its commit is seen as a missing effect, or as loss when it had not noted the arrival', async () => {
  const rules = await rulesBrokenBy('acknowledge-before-commit', 'kill-consumer')

  expect(['effect-missing', 'lost'].filter((rule) => rules.has(rule))).not.toEqual([])
})

it('a consumer that keeps no proof of what it applied is seen as a double effect', async () => {
  expect(await rulesBrokenBy('apply-without-inbox', 'kill-relay')).toContain('effect-twice')
})

it('sending behind a failed message of the same key is seen as disorder', async () => {
  const rules = await rulesBrokenBy('send-behind-a-failure', 'kill-writer-at-failpoint', '--keys', '3')

  expect(rules).toContain('out-of-order')
})

it('a floor that does not ask who holds the table is seen as loss or disorder', async () => {
  const rules = await rulesBrokenBy('floor-without-locks', 'kill-writer-at-failpoint')

  expect(['lost', 'out-of-order'].filter((rule) => rules.has(rule))).not.toEqual([])
})

it('a cut-off that forgets who had begun is seen as too early', async () => {
  expect(await rulesBrokenBy('cut-off-forgets-writers', 'relay-joins')).toContain('cut-off-too-early')
})

it('charging messages with a destination that is away or full is seen by good messages among the dead letters', async () => {
  const rules = await rulesBrokenBy('blame-messages', 'destination-away,destination-throttled')

  expect(rules).toContain('unexpected-dead-letter')
})

const zombie = ['pause-relay', '--lease', '1000', '--writers', '1'] as const

it('a zombie that writes down failures without a fence is seen by good messages among the dead letters', async () => {
  expect(await rulesBrokenBy('retry-without-fence', ...zombie)).toContain('unexpected-dead-letter')
})

it('the same zombie with the fence buries nothing', async () => {
  // Only a relay that was paused while it published reports a failure of a good message: without one nothing was fenced off.
  const hasZombieFailed = ({ history }: ChaosRun): boolean => {
    const good = new Set(history.committed.filter(({ isDoomed }) => !isDoomed).map(({ id }) => id))
    return history.publications.some(({ id, answer }) => answer === 'refused' && good.has(id))
  }

  const { report } = await decidedRun(['zombie-failures', ...zombie], hasZombieFailed)

  expect(report.violations).toEqual([])
})
