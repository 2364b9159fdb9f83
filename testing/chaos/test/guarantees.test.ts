import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { type BrokerReport, guarantees } from '../guarantees.ts'
import { readReports } from '../reports.ts'

it('docs/guarantees.md is what the kept reports say, and they say that nothing was violated and each cut-off was complete', () => {
  const kept = readReports()

  expect(readFileSync(new URL('../../../docs/guarantees.md', import.meta.url), 'utf8')).toBe(guarantees(kept))
  const violations = Object.values<readonly BrokerReport[]>({ ...kept }).flatMap((reports) =>
    reports.flatMap(({ report }) => report.violations),
  )
  expect(violations).toEqual([])
  for (const { report } of kept.lately) expect(report.cutOffs?.complete).toBe(report.cutOffs?.drawn ?? 'drawn')
})

it('an outage of a destination costs no message an attempt, a dead letter or a held key', () => {
  const { destinations, longDestinations } = readReports()

  for (const { report } of [...destinations, ...longDestinations]) {
    expect(report.paid).toEqual({ attempts: 0, deadLetters: 0, heldKeys: 0 })
  }
})

it('a relay that dies alone is made up for within two seconds', () => {
  const { recovery } = readReports()

  expect(recovery.map(({ broker }) => broker)).toEqual(['kafka', 'rabbitmq', 'sqs'])
  for (const { report } of recovery) {
    expect(report.recoveryMs['kill-relay']?.max).toBeLessThan(2_000)
    expect(report.recoveryMs['terminate-backends']?.max).toBeLessThan(2_000)
  }
})
