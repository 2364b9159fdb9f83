import { expect, it } from 'vitest'
import { chaosArguments } from '../arguments.ts'
import { runChaos } from '../run-chaos.ts'

/** A short run on the log with one rule of the protocol taken out by a wrapper. @returns the rules whose breach was seen */
async function rulesBrokenBy(variant: string, fault: string, ...more: string[]): Promise<Set<string>> {
  const flags = [
    '--variant',
    variant,
    '--faults',
    fault,
    '--broker',
    'log',
    '--relays',
    '2',
    '--consumers',
    '1',
    '--seed',
    '1',
  ]
  const options = chaosArguments([...flags, '--minutes', '0.15', '--every', '1500', '--drain', '8', ...more], () => {})
  const { report } = await runChaos(options)
  return new Set(report.violations.map(({ rule }) => rule))
}

it('settling before the broker has acknowledged is seen as loss', async () => {
  expect(await rulesBrokenBy('acknowledge-before-broker', 'kill-relay')).toContain('lost')
})

it('a consumer that acknowledges before its commit is seen as a missing effect', async () => {
  expect(await rulesBrokenBy('acknowledge-before-commit', 'kill-consumer')).toContain('effect-missing')
})

it('sending behind a failed message of the same key is seen as disorder', async () => {
  expect(await rulesBrokenBy('send-behind-a-failure', 'kill-writer-at-failpoint')).toContain('out-of-order')
})

it('a floor that does not ask who holds the table is seen as loss or disorder', async () => {
  const rules = await rulesBrokenBy('floor-without-locks', 'kill-writer-at-failpoint')

  expect(rules.has('lost') || rules.has('out-of-order')).toBe(true)
})

it('a zombie that writes down failures without a fence is seen by good messages among the dead letters', async () => {
  expect(await rulesBrokenBy('zombie-failures', 'pause-relay', '--lease', '1000')).toEqual(new Set())
  expect(await rulesBrokenBy('retry-without-fence', 'pause-relay', '--lease', '1000')).toContain(
    'unexpected-dead-letter',
  )
})
