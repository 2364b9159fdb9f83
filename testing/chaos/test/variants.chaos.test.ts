import { expect, it } from 'vitest'
import { chaosArguments } from '../arguments.ts'
import { runChaos } from '../run-chaos.ts'
import { runUntilDecided, whereabouts } from '../run-until-decided.ts'

/** A short run on the log with one rule of the protocol taken out by a wrapper. @returns the rules whose breach was seen */
async function rulesBrokenBy(variant: string, fault: string, ...more: readonly string[]): Promise<Set<string>> {
  const few = ['--broker', 'log', '--relays', '2', '--consumers', '1', '--every', '2500', '--drain', '8']
  const flags = ['--variant', variant, '--faults', fault, ...few, ...more]
  const { report } = await runChaos(chaosArguments(flags, () => {}))
  const counts = { violations: report.violations.length, undelivered: whereabouts(report.undelivered) }
  console.info(JSON.stringify({ variant, ...report, ...counts }))
  return new Set(report.violations.map(({ rule }) => rule))
}

/**
 * A fault has to meet a message at the right instant, and a busy machine makes fewer of them. A run that met none proves nothing:
 * it is named, and run again with another plan and twice the time, up to three times.
 */
async function isSeen(expected: readonly string[], ...[variant, fault, ...more]: Run): Promise<boolean> {
  for (let attempt = 1; attempt <= 3; attempt++) {
    const time = ['--minutes', String(0.2 * 2 ** (attempt - 1)), '--seed', String(attempt)]
    const rules = await rulesBrokenBy(variant, fault, ...more, ...time)
    if (expected.some((rule) => rules.has(rule))) return true
    console.warn(`inconclusive: ${variant} showed none of ${expected.join(', ')} in run ${String(attempt)}`)
  }
  return false
}

type Run = readonly [variant: string, fault: string, ...more: string[]]

it('settling before the broker has acknowledged is seen as loss', async () => {
  expect(await isSeen(['lost'], 'acknowledge-before-broker', 'kill-relay')).toBe(true)
})

it('a consumer that acknowledges before its commit is seen as a missing effect', async () => {
  expect(await isSeen(['effect-missing'], 'acknowledge-before-commit', 'kill-consumer')).toBe(true)
})

it('sending behind a failed message of the same key is seen as disorder', async () => {
  const fewKeys = ['--keys', '3'] as const

  expect(await isSeen(['out-of-order'], 'send-behind-a-failure', 'kill-writer-at-failpoint', ...fewKeys)).toBe(true)
})

it('a floor that does not ask who holds the table is seen as loss or disorder', async () => {
  expect(await isSeen(['lost', 'out-of-order'], 'floor-without-locks', 'kill-writer-at-failpoint')).toBe(true)
})

it('a zombie that writes down failures without a fence is seen by good messages among the dead letters', async () => {
  const pauses = ['pause-relay', '--lease', '1000'] as const

  expect(await isSeen(['unexpected-dead-letter'], 'retry-without-fence', ...pauses)).toBe(true)
})

it('the same zombie with the fence buries nothing', async () => {
  const flags = ['--variant', 'zombie-failures', '--faults', 'pause-relay', '--lease', '1000', '--broker', 'log']
  const few = [
    '--relays',
    '2',
    '--consumers',
    '1',
    '--minutes',
    '0.2',
    '--every',
    '2500',
    '--drain',
    '8',
    '--seed',
    '1',
  ]

  const { report } = await runUntilDecided(chaosArguments([...flags, ...few], () => {}))

  expect(report.violations.map(({ rule }) => rule)).not.toContain('unexpected-dead-letter')
})
