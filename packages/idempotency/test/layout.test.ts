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

/** The first way from a node back to itself. */
function circleIn(graph: ReadonlyMap<string, readonly string[]>): readonly string[] | undefined {
  const done = new Set<string>()
  const walk = (node: string, path: readonly string[]): readonly string[] | undefined => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node]
    if (done.has(node)) return undefined
    for (const next of graph.get(node) ?? []) {
      const circle = walk(next, [...path, node])
      if (circle !== undefined) return circle
    }
    done.add(node)
    return undefined
  }
  for (const node of graph.keys()) {
    const circle = walk(node, [])
    if (circle !== undefined) return circle
  }
  return undefined
}

it('no file imports itself by way of others, types included', () => {
  expect(circleIn(imports())).toBeUndefined()
})

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

it('finds a circle when there is one', () => {
  expect(
    circleIn(
      new Map([
        ['a', ['b']],
        ['b', ['c']],
        ['c', ['b']],
      ]),
    ),
  ).toEqual(['b', 'c', 'b'])
})
