import { expect, it } from 'vitest'
import { lineOf, type Run, verdictOf } from './verdict.ts'

/** As vitest writes it, without what nobody reads. */
function run(exitCode: number | null, status: string, tests: Record<string, string>, message = ''): Run {
  const assertionResults = Object.entries(tests).map(([fullName, its]) => ({ fullName, status: its }))
  return { exitCode, report: JSON.stringify({ testResults: [{ status, message, assertionResults }] }) }
}

it.each<[string, Run, string]>([
  ['a test that fails', run(1, 'failed', { one: 'passed', two: 'failed' }), 'killed       m | by: two'],
  [
    'a hook after passing tests',
    run(1, 'failed', { one: 'passed' }, 'leaks\nat …'),
    'killed       m | by: a hook of the file: leaks',
  ],
  [
    'an error outside every test',
    run(1, 'passed', { one: 'passed' }),
    'killed       m | by: an error that nobody handled',
  ],
  ['a file that cannot be loaded', run(1, 'failed', {}, 'Transform failed\nat …'), 'BROKEN PATCH m: Transform failed'],
  ['a hook before every test', run(1, 'failed', { one: 'skipped' }, 'syntax error'), 'BROKEN PATCH m: syntax error'],
  ['no report', { exitCode: 1, report: null }, 'BROKEN PATCH m: vitest ended with 1 and no report'],
  [
    'a time limit',
    { exitCode: null, report: null },
    'KILLED by time limit m: give the test an assertion that fails before',
  ],
  ['nothing but success', run(0, 'passed', { one: 'passed' }), 'SURVIVED     m'],
])('%s gives a verdict of its own', (_name, ended, line) => {
  expect(lineOf('m', verdictOf(ended))).toBe(line)
})
