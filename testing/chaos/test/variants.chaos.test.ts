import { expect, it } from 'vitest'
import { chaosArguments } from '../arguments.ts'
import { runChaos } from '../run-chaos.ts'

/** A short run on the log with one rule of the protocol taken out by a wrapper. @returns the rules whose breach was seen */
async function rulesBrokenBy(variant: string, fault: string, ...more: readonly string[]): Promise<Set<string>> {
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
  const options = chaosArguments([...flags, '--minutes', '0.2', '--every', '2500', '--drain', '8', ...more], () => {})
  const { report } = await runChaos(options)
  console.info(JSON.stringify({ ...report, violations: report.violations.length }))
  return new Set(report.violations.map(({ rule }) => rule))
}

it('settling before the broker has acknowledged is seen as loss', async () => {
  expect(await rulesBrokenBy('acknowledge-before-broker', 'kill-relay')).toContain('lost')
})

it('a consumer that acknowledges before its commit is seen as a missing effect', async () => {
  expect(await rulesBrokenBy('acknowledge-before-commit', 'kill-consumer')).toContain('effect-missing')
})

it('sending behind a failed message of the same key is seen as disorder', async () => {
  expect(await rulesBrokenBy('send-behind-a-failure', 'kill-writer-at-failpoint', '--keys', '3')).toContain(
    'out-of-order',
  )
})

it('a floor that does not ask who holds the table is seen as loss or disorder', async () => {
  const rules = await rulesBrokenBy('floor-without-locks', 'kill-writer-at-failpoint')

  expect(rules.has('lost') || rules.has('out-of-order')).toBe(true)
})

it('a zombie that writes down failures without a fence is seen by good messages among the dead letters', async () => {
  const pauses = ['pause-relay', '--lease', '1000'] as const

  expect(await rulesBrokenBy('retry-without-fence', ...pauses)).toContain('unexpected-dead-letter')
  expect(await rulesBrokenBy('zombie-failures', ...pauses)).not.toContain('unexpected-dead-letter')
})
