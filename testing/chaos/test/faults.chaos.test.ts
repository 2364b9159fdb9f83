import { expect, it } from 'vitest'
import { chaosArguments } from '../arguments.ts'
import { runUntilDecided } from '../run-until-decided.ts'

const seed = process.env['MALOTE_CHAOS_SEED'] ?? '20261120'

it('a minute of every kind of fault loses nothing, keeps order and applies each message once', async () => {
  const options = chaosArguments(['--minutes', '1', '--seed', seed], () => {})

  const { report, health } = await runUntilDecided(options)

  console.info(JSON.stringify(report))
  expect(report.violations).toEqual([])
  const nothing = { crashed: [], stuck: [], idle: [], overfull: [], starved: [], missingLanes: 0 }
  expect(health).toMatchObject({ drain: { left: 0 }, ...nothing })
  expect(health.relayConnections.after).toEqual(health.relayConnections.before)
  expect(Object.keys(report.faults).length).toBeGreaterThanOrEqual(18)
  expect(report.cutOffs?.complete).toBeGreaterThan(0)
  expect(report.effectsApplied).toBeGreaterThan(500)
})
