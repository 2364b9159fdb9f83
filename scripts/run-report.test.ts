import { describe, expect, it } from 'vitest'
import { type CaseOutcome, formatRun } from './run-report.ts'

const aCase = (change: Partial<CaseOutcome> = {}): CaseOutcome => ({
  package: 'packages/a',
  tier: 'unit',
  file: 'packages/a/test/a.test.ts',
  name: 'works',
  ms: 10,
  state: 'passed',
  ...change,
})
const here = { otherErrors: 0, isCi: false, isSelection: false }

describe('the report of a run', () => {
  it('counts by package and tier, and ends with the totals on a line of their own', () => {
    const cases = [aCase(), aCase({ state: 'failed' }), aCase({ tier: 'integration', ms: 2_500 })]

    const { text, isFailure } = formatRun(cases, here)

    expect(text.split('\n').slice(0, 3)).toEqual([
      'package     tier         passed  failed  not run  flaky  seconds',
      'packages/a  unit              1       1        0      0      0.0',
      'packages/a  integration       1       0        0      0      2.5',
    ])
    expect(text.split('\n').at(-1)).toBe('2 passed, 1 failed, 0 skipped')
    expect(isFailure).toBe(false)
  })

  it('names what was not run and why, which is a failure on a CI machine', () => {
    const cases = [aCase(), aCase({ state: 'not-run', reason: 'no Java on this machine' })]

    expect(formatRun(cases, here).text).toContain(
      'not run:\n  no Java on this machine\n    packages/a/test/a.test.ts > works',
    )
    expect(formatRun(cases, here).isFailure).toBe(false)
    expect(formatRun(cases, { ...here, isCi: true }).isFailure).toBe(true)
    expect(formatRun([aCase()], { ...here, isCi: true }).isFailure).toBe(false)
  })

  it('names what was flaky with what its harness said', () => {
    const { text } = formatRun([aCase({ flaky: 'test harness: no leader' })], here)

    expect(text).toContain('packages/a/test/a.test.ts > works: test harness: no leader')
  })

  it('names the slowest ten', () => {
    const cases = Array.from({ length: 12 }, (_, number) =>
      aCase({ name: `n${String(number)}`, ms: 1_000 * (number + 1) }),
    )

    const lines = formatRun(cases, here)
      .text.split('\n')
      .filter((line) => line.includes(' s  '))

    expect(lines).toHaveLength(10)
    expect(lines[0]).toContain('12.0 s  packages/a/test/a.test.ts > n11')
  })

  it('says what failed and why, right before the totals', () => {
    const failure = aCase({ name: 'breaks', state: 'failed', error: 'expected 1 to be 2\n  at a.test.ts:7' })

    const lines = formatRun([aCase({ ms: 2_000 }), failure], here).text.split('\n')

    expect(lines.slice(-6)).toEqual([
      'failed:',
      '  packages/a/test/a.test.ts > breaks',
      '  expected 1 to be 2',
      '    at a.test.ts:7',
      '',
      '1 passed, 1 failed, 0 skipped',
    ])
  })

  it('counts errors outside of any case as failures', () => {
    expect(formatRun([aCase()], { ...here, otherErrors: 2 }).text).toContain('1 passed, 2 failed, 0 skipped')
  })
})
