import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ConformanceMeta } from '../conformance.ts'

/** What became of an adapter's own tests on a server that nobody here wrote. */
export interface KitReport {
  readonly passed: number
  /** Name and first words of each case that failed, and of each file that could not be run. */
  readonly failed: readonly string[]
  /** Name of each case that was left out, with the reason. */
  readonly notRun: readonly string[]
}

/** Cases that `MALOTE_JUDGE_CASES` names, as a pattern, until the first of them fails: all to the end, unless it is set. */
export const askedCases: string = process.env['MALOTE_JUDGE_CASES'] ?? ''

/**
 * Runs tests that speak to a broker, one file at a time: what is judged is not how many cases one server stands at once.
 *
 * @param env - tells the tests which server to use
 */
export function runKits(paths: readonly string[], env: Readonly<Record<string, string>>): KitReport {
  const folder = mkdtempSync(join(tmpdir(), 'malote-judges-'))
  try {
    const report = join(folder, 'report.json')
    const flags = ['--project', 'integration', '--no-file-parallelism', '--reporter=json', `--outputFile=${report}`]
    if (askedCases !== '') flags.push('--testNamePattern', askedCases, '--bail=1')
    spawnSync('vitest', ['run', ...flags, ...paths], { stdio: 'ignore', env: { ...process.env, ...env } })
    const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as Report
    const tests = testResults.flatMap(({ assertionResults }) => assertionResults)
    const failed = tests.filter(({ status }) => status === 'failed')
    const notRun = tests
      .flatMap(({ meta }) => meta.conformance ?? [])
      .flatMap(({ name, reason }) => (reason === undefined ? [] : [`${name}: ${reason}`]))
    return {
      passed: tests.filter(({ status }) => status === 'passed').length,
      failed: [
        ...testResults
          .filter(({ status, message }) => status === 'failed' && message !== '')
          .map((file) => file.message),
        ...failed.map(({ fullName, failureMessages }) => `${fullName}: ${failureMessages[0]?.slice(0, 300) ?? ''}`),
      ],
      notRun: [...new Set(notRun)],
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

interface Report {
  readonly testResults: readonly {
    readonly status: string
    readonly message: string
    readonly assertionResults: readonly {
      readonly status: string
      readonly fullName: string
      readonly failureMessages: readonly string[]
      readonly meta: { readonly conformance?: readonly ConformanceMeta[] }
    }[]
  }[]
}
