import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { blocksOf, codeOf } from './snippet-blocks.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const pages = globSync(['README.md', 'docs/**/*.md', 'packages/*/README.md', 'examples/*/README.md'], {
  cwd: root,
  exclude: (path) => path.includes('node_modules') || path.startsWith('docs/api'),
})

describe.each(pages)('%s', (page) => {
  const blocks = blocksOf(page).filter((found) => ['ts', 'js', 'typescript', 'javascript'].includes(found.language))

  it('shows only code that a test runs', () => {
    const unmarked = blocks.filter((found) => found.source === undefined)

    expect(unmarked.map((found) => `${found.page}:${String(found.line)}`)).toEqual([])
  })

  it('shows that code as it is: after a change run `node scripts/snippets.ts`', () => {
    const marked = blocks.filter((found) => found.source !== undefined)

    for (const found of marked) expect(found.text, `${page}:${String(found.line)}`).toBe(codeOf(found.source as string))
  })

  it('shows nothing that neither it nor a block above it imports or declares', () => {
    const missing = blocks.flatMap(({ source = '', text, line }, index) => {
      const known = blocks.slice(0, index + 1).flatMap((above) => namesOf(above.text))
      const needed = namesOf(readFileSync(new URL(source.split('#')[0] ?? '', `file://${root}`), 'utf8'))
      const code = text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
      const uses = (name: string): boolean => new RegExp(`(?<![\\w.'$])${name}[({<\\]);,. ]`).test(code)
      const isParameter = (name: string): boolean => code.includes(`${name}: `)
      const lacks = needed.filter((name) => !known.includes(name) && uses(name) && !isParameter(name))
      return lacks.map((name) => `${page}:${String(line)} ${name}`)
    })

    expect(missing).toEqual([])
  })
})

/** What a file or block declares beside its functions. */
function namesOf(code: string): string[] {
  return [...code.matchAll(/^(?:export )?(?:async )?(?:const|function|class|interface|type) (\w+)/gm)].map(
    ([, name = '']) => name,
  )
}
