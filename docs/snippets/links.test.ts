import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))
const pages = globSync(['*.md', 'docs/**/*.md', 'packages/*/README.md', 'examples/*/README.md', 'bench/*.md'], {
  cwd: root,
  exclude: (path) => path.includes('node_modules') || path.startsWith('docs/api'),
})

it.each(pages)('every link of %s leads somewhere', (page) => {
  const text = readFileSync(join(root, page), 'utf8').replace(/^```[\s\S]*?^```/gm, '')
  const targets = [...text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)].map((match) => match[1] as string)
  const files = targets.filter((target) => !/^[a-z]+:/.test(target))

  expect(files.filter((target) => !existsSync(join(root, dirname(page), target)))).toEqual([])
})
