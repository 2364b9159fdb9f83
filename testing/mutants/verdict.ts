/** What the tests of a mutant's file say of it. */
export type Verdict =
  | { readonly kind: 'killed'; readonly by: string }
  /** No test told within the time limit: it hangs, which nobody lets pass either. */
  | { readonly kind: 'hangs' }
  /** Nothing could run: the change does not compile, or nothing can be set up with it. The mistake is the list's. */
  | { readonly kind: 'broken'; readonly why: string }
  | { readonly kind: 'survived' }

/** How a run of vitest ended. */
export interface Run {
  /** Its JSON report; null when it wrote none. */
  readonly report: string | null
  /** Null: it was ended, because its time was over. */
  readonly exitCode: number | null
}

interface Report {
  readonly testResults: readonly {
    readonly status: string
    readonly message: string
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[]
  }[]
}

export function verdictOf({ report, exitCode }: Run): Verdict {
  if (exitCode === null) return { kind: 'hangs' }
  if (report === null) return { kind: 'broken', why: `vitest ended with ${String(exitCode)} and no report` }
  const { testResults: files } = JSON.parse(report) as Report
  const tests = files.flatMap(({ assertionResults }) => assertionResults)
  const failed = tests.find(({ status }) => status === 'failed')
  if (failed !== undefined) return { kind: 'killed', by: failed.fullName }
  const message = files.find(({ status }) => status === 'failed')?.message
  if (!tests.some(({ status }) => status === 'passed')) return { kind: 'broken', why: message ?? 'no test ran' }
  if (message !== undefined) return { kind: 'killed', by: `a hook of the file: ${message}` }
  return exitCode === 0 ? { kind: 'survived' } : { kind: 'killed', by: 'an error that nobody handled' }
}

/** One line for whoever reads along. */
export function lineOf(name: string, verdict: Verdict): string {
  if (verdict.kind === 'killed') return `killed       ${name} | by: ${firstLine(verdict.by)}`
  if (verdict.kind === 'hangs') return `KILLED by time limit ${name}: give the test an assertion that fails before`
  if (verdict.kind === 'broken') return `BROKEN PATCH ${name}: ${firstLine(verdict.why)}`
  return `SURVIVED     ${name}`
}

const firstLine = (text: string): string => text.split('\n', 1)[0] ?? ''
