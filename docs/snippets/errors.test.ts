import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

/** The members of a union of literals, in the source that declares it. */
function codesOf(path: string, union: string): readonly string[] {
  const declaration =
    read(path)
      .split(`export type ${union} =`)[1]
      ?.split(/\n\n|\n\/\*\*/)[0] ?? ''
  return [...declaration.matchAll(/'([^']+)'/g)].map(([, code]) => code as string)
}

const unions: readonly [string, string][] = [
  ['packages/idempotency/src/errors.ts', 'IdempotencyErrorCode'],
  ['packages/idempotency/src/http/problem.ts', 'ProblemCode'],
]

it.each(unions)('every code of %s is on the page of errors, once in its table', (path, union) => {
  const codes = codesOf(path, union)
  const rows = read('docs/errors.md')
    .split('\n')
    .filter((line) => line.startsWith('| `'))

  expect(codes.length).toBeGreaterThan(10)
  for (const code of codes) expect([code, rows.some((row) => row.startsWith(`| \`${code}\``))]).toEqual([code, true])
})

it('every problem leads to its place in the guide', () => {
  const guide = read('docs/idempotency.md')

  for (const code of codesOf('packages/idempotency/src/http/problem.ts', 'ProblemCode'))
    expect([code, guide.includes(`<a id="${code}"></a>`)]).toEqual([code, true])
})
