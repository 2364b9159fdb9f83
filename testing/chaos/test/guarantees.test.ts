import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { guarantees } from '../guarantees.ts'
import { readReports } from '../reports.ts'

it('docs/guarantees.md is what the kept reports say, and they say that nothing was violated and each cut-off was complete', () => {
  const reports = readReports()
  const lately = readReports('reports/lately')
  const outages = readReports('reports/outages')

  expect(readFileSync(new URL('../../../docs/guarantees.md', import.meta.url), 'utf8')).toBe(
    guarantees(reports, lately, outages),
  )
  expect([...reports, ...lately, ...outages].flatMap(({ report }) => report.violations)).toEqual([])
  for (const { report } of lately) expect(report.cutOffs?.complete).toBe(report.cutOffs?.drawn ?? 'drawn')
})
