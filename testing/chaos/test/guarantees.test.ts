import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { guarantees } from '../guarantees.ts'
import { readReports } from '../reports.ts'

it('docs/guarantees.md is what the kept reports say, and they say that nothing was violated', () => {
  const reports = readReports()
  const outages = readReports('reports/outages')

  expect(readFileSync(new URL('../../../docs/guarantees.md', import.meta.url), 'utf8')).toBe(
    guarantees(reports, outages),
  )
  expect([...reports, ...outages].flatMap(({ report }) => report.violations)).toEqual([])
})
