import { expect, it } from 'vitest'
import { chaosArguments } from '../arguments.ts'
import { runUntilDecided } from '../run-until-decided.ts'

const mebibyte = 1_048_576

it('PostgreSQL and the broker are restarted under load: everybody works afterwards and nothing has grown', async () => {
  const kinds = 'restart-postgres-fast,restart-broker,restart-postgres-immediate,restart-broker'
  const flags = ['--minutes', '0.4', '--every', '4000', '--faults', kinds, '--seed', '7']
  const options = chaosArguments(flags, () => {})

  const { report, health } = await runUntilDecided(options)

  expect(report.violations).toEqual([])
  expect(health).toMatchObject({ drain: { left: 0 }, crashed: [], stuck: [], idle: [] })
  expect(health.relayConnections.after).toEqual(health.relayConnections.before)
  expect(health.memory).toHaveLength(options.relays + options.consumers)
  for (const { name, before, after } of health.memory) expect.soft(after - before, name).toBeLessThan(8 * mebibyte)
})
