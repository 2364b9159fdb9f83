import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../src/', import.meta.url))

/** Which file of the package imports which, types included. */
function imports(): ReadonlyMap<string, readonly string[]> {
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
  return new Map(
    files.map((file) => {
      const found = readFileSync(join(root, file), 'utf8').matchAll(/from '(\.[^']+)'/g)
      return [file, [...found].map(([, path]) => normalize(join(dirname(file), path as string)))]
    }),
  )
}

it('messages and requests know nothing of each other, and the database of neither', () => {
  const crossing = [...imports()].flatMap(([file, paths]) =>
    paths
      .filter((path) => {
        const [from, to] = [file.split('/')[0], path.split('/')[0]]
        if (from === 'inbox') return to === 'http' || to === 'frameworks'
        if (from === 'http') return to === 'inbox' || to === 'frameworks'
        return from === 'database' && ['inbox', 'http', 'frameworks'].includes(to as string)
      })
      .map((path) => `${file} → ${path}`),
  )
  expect(crossing).toEqual([])
})
