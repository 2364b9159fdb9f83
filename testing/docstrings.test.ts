import { globSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const root = new URL('../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')

/** Functions, constants and classes that the package's entry points export, by the report that `npm run api-report` keeps. */
const publicValues = (name: string): ReadonlySet<string> =>
  new Set(
    [...read(`docs/api-report/${name}.md`).matchAll(/\b(?:function|const|class) (\w+)/g)].map(
      ([, value = '']) => value,
    ),
  )

/** Exports of a file that have no docstring. Of a function with several signatures the first must have it. */
function undocumented(path: string, isPublic: (name: string) => boolean): string[] {
  const lines = read(path).split('\n')
  const seen = new Set<string>()
  return lines.flatMap((line, index) => {
    const name = /^export (?:async )?(?:abstract )?(?:function|const|class) (\w+)/.exec(line)?.[1]
    if (name === undefined || seen.has(name) || !isPublic(name)) return []
    seen.add(name)
    return lines[index - 1]?.trimEnd().endsWith('*/') === true ? [] : [`${path}:${String(index + 1)} ${name}`]
  })
}

it.each(['outbox-core', 'idempotency', 'adapter-sqs', 'adapter-rabbitmq', 'adapter-kafka'])(
  'every function, constant and class that @malote/%s exports has a docstring',
  (name) => {
    const values = publicValues(name)
    const files = globSync(`packages/${name}/src/**/*.ts`, { cwd: root }).filter((path) => !path.includes('/src/cli/'))

    expect(values.size).toBeGreaterThan(3)
    expect(files.flatMap((path) => undocumented(path, (value) => values.has(value)))).toEqual([])
  },
)
