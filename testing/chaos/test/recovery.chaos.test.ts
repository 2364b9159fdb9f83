import { expect, it } from 'vitest'
import { chaosArguments } from '../arguments.ts'
import { scaled } from '../../slowness.ts'
import { runUntilDecided } from '../run-until-decided.ts'

const quietly = (): void => {}
// One kill of one of two relays, on the log instead of a broker: what is measured is the relays' own doing.
const kill = ['--minutes', '0.1', '--every', '60000', '--faults', 'kill-relay', '--broker', 'log']
const few = ['--relays', '2', '--writers', '1', '--consumers', '1', '--seed', '3']

it('the lanes of a killed relay flow again in under 2 s although its lease is 30 s', async () => {
  const options = chaosArguments([...kill, ...few, '--lease', '30000'], quietly)

  const { report } = await runUntilDecided(options)

  expect(report.violations).toEqual([])
  expect(report.recoveryMs['kill-relay']?.p50).toBeLessThan(scaled(2_000))
})

it('without the presence signal they flow again when the lease has run out, and not before', async () => {
  const options = chaosArguments([...kill, ...few, '--lease', '6000', '--no-presence'], quietly)

  const { report } = await runUntilDecided(options)

  expect(report.violations).toEqual([])
  expect(report.recoveryMs['kill-relay']?.p50).toBeGreaterThan(2_000)
  expect(report.recoveryMs['kill-relay']?.p50).toBeLessThan(scaled(12_000))
})
