import { globSync } from 'node:fs'
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
})
