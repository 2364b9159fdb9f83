import { globSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const root = new URL('../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')

/** What the package's entry points export, by the report that `npm run api-report` keeps. */
const publicNames = (name: string): ReadonlySet<string> =>
  new Set(
    [...read(`docs/api-report/${name}.md`).matchAll(/\b(?:function|const|class|interface|type) (\w+)/g)].map(
      ([, exported = '']) => exported,
    ),
  )

/** Exports of a file that have no docstring. Of a function with several signatures the first must have it. */
function undocumented(path: string, isPublic: (name: string) => boolean): string[] {
  const lines = read(path).split('\n')
  const seen = new Set<string>()
  return lines.flatMap((line, index) => {
    const name = /^export (?:async )?(?:abstract )?(?:function|const|class|interface|type) (\w+)/.exec(line)?.[1]
    if (name === undefined || seen.has(name) || !isPublic(name)) return []
    seen.add(name)
    return lines[index - 1]?.trimEnd().endsWith('*/') === true ? [] : [`${path}:${String(index + 1)} ${name}`]
  })
}

it.each(['outbox-core', 'idempotency', 'adapter-sqs', 'adapter-rabbitmq', 'adapter-kafka'])(
  'everything that @malote/%s exports has a docstring, values and types',
  (name) => {
    const names = publicNames(name)
    const files = globSync(`packages/${name}/src/**/*.ts`, { cwd: root }).filter((path) => !path.includes('/src/cli/'))

    expect(names.size).toBeGreaterThan(10)
    expect(files.flatMap((path) => undocumented(path, (exported) => names.has(exported)))).toEqual([])
  },
)
