import { expect, it } from 'vitest'
import { chaosArguments } from '../arguments.ts'
import { runUntilDecided } from '../run-until-decided.ts'

const outages = ['--faults', 'handler-database-away,dead-letters-away', '--outage', '2', '--every', '3000']
const few = ['--broker', 'sqs', '--relays', '1', '--writers', '1', '--consumers', '1', '--minutes', '0.1']

const argumentsOf = (...more: readonly string[]) =>
  chaosArguments([...few, ...outages, '--seed', '3', ...more], () => {})

it.concurrent('an outage of what consumers need costs no message an attempt and leaves no gap', async () => {
  const { report, health } = await runUntilDecided(argumentsOf())

  expect(report.violations).toEqual([])
  expect(health).toMatchObject({ drain: { left: 0 }, crashed: [], stuck: [] })
  expect(Object.keys(report.faults).toSorted()).toEqual(['dead-letters-away', 'handler-database-away'])
})

it.concurrent('consumers that charge messages with an outage are seen by good messages among the dead letters', async () => {
  const { report } = await runUntilDecided(argumentsOf('--variant', 'outages-cost-attempts'))

  expect(new Set(report.violations.map(({ rule }) => rule))).toContain('unexpected-dead-letter')
})
