/** How one case ended. */
export interface CaseOutcome {
  readonly package: string
  readonly tier: string
  readonly file: string
  readonly name: string
  readonly ms: number
  readonly state: 'passed' | 'failed' | 'not-run'
  /** Why it was not run. */
  readonly reason?: string
  /** Set when it failed: what its first error said, and where. */
  readonly error?: string
  /** Set when it passed only when run once more: what its harness said the first time. */
  readonly flaky?: string
}

export interface RunFacts {
  /** Errors outside of any case. */
  readonly otherErrors: number
  /** On a CI machine everything must run. */
  readonly isCi: boolean
  /** Cases were selected by name: the others are not worth a word. */
  readonly isSelection: boolean
}

/**
 * The end of a run as text: a table of package × tier, what was not run and why, what was flaky, the slowest ten, what failed and
 * why, and the totals as the last line. What failed comes late because a CI log is often kept by its end alone.
 *
 * @returns also whether the run is a failure for a reason that no case knows of
 */
export function formatRun(cases: readonly CaseOutcome[], facts: RunFacts): { text: string; isFailure: boolean } {
  const notRun = cases.filter(({ state }) => state === 'not-run')
  const isIncomplete = facts.isCi && notRun.length > 0
  const counted = countsOf(cases)
  const sections = [
    table(cases),
    facts.isSelection ? '' : reasons(notRun),
    listed('flaky: the harness failed, and the case passed when run once more', flakyLines(cases)),
    listed('slowest', slowestLines(cases)),
    listed('failed', failureLines(cases)),
    isIncomplete ? `CI: ${String(notRun.length)} cases were not run. Here that is a failure.` : '',
    `${String(counted.passed)} passed, ${String(counted.failed + facts.otherErrors)} failed, ${String(counted.notRun)} skipped`,
  ]
  return { text: sections.filter((section) => section !== '').join('\n\n'), isFailure: isIncomplete }
}

interface Counts {
  readonly passed: number
  readonly failed: number
  readonly notRun: number
  readonly flaky: number
}

function countsOf(cases: readonly CaseOutcome[]): Counts {
  const inState = (state: CaseOutcome['state']): number => cases.filter((one) => one.state === state).length
  const flaky = cases.filter((one) => one.flaky !== undefined).length
  return { passed: inState('passed'), failed: inState('failed'), notRun: inState('not-run'), flaky }
}

const tiers = ['unit', 'integration', 'chaos', 'e2e']

function table(cases: readonly CaseOutcome[]): string {
  const groups = Map.groupBy(cases, (one) => `${one.package} ${String(tiers.indexOf(one.tier))}`)
  const rows = [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => row(group))
  const lines = [['package', 'tier', 'passed', 'failed', 'not run', 'flaky', 'seconds'], ...rows]
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? []
  const pad = (cell: string, column: number): string =>
    column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)
  return lines.map((line) => line.map(pad).join('  ').trimEnd()).join('\n')
}

function row(group: readonly CaseOutcome[]): string[] {
  const { passed, failed, notRun, flaky } = countsOf(group)
  const seconds = group.reduce((sum, { ms }) => sum + ms, 0) / 1_000
  const numbers = [passed, failed, notRun, flaky].map(String)
  return [group[0]?.package ?? '', group[0]?.tier ?? '', ...numbers, seconds.toFixed(1)]
}

function reasons(notRun: readonly CaseOutcome[]): string {
  const byReason = Map.groupBy(notRun, ({ reason = 'no reason given' }) => reason)
  const lines = [...byReason].flatMap(([reason, cases]) => [reason, ...cases.map((one) => `  ${nameOf(one)}`)])
  return listed('not run', lines)
}

const flakyLines = (cases: readonly CaseOutcome[]): string[] =>
  cases.flatMap((one) => (one.flaky === undefined ? [] : [`${nameOf(one)}: ${one.flaky}`]))

const failureLines = (cases: readonly CaseOutcome[]): string[] =>
  cases
    .filter(({ state }) => state === 'failed')
    .flatMap((one) => [nameOf(one), ...(one.error ?? '').split('\n').slice(0, 12)])

const slowestLines = (cases: readonly CaseOutcome[]): string[] =>
  cases
    .toSorted((a, b) => b.ms - a.ms)
    .slice(0, 10)
    .filter(({ ms }) => ms >= 1_000)
    .map((one) => `${(one.ms / 1_000).toFixed(1).padStart(6)} s  ${nameOf(one)}`)

const nameOf = ({ file, name }: CaseOutcome): string => `${file} > ${name}`

const listed = (title: string, lines: readonly string[]): string =>
  lines.length === 0 ? '' : [`${title}:`, ...lines.map((line) => `  ${line}`)].join('\n')
