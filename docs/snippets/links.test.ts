import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { anchorOf } from '../.vitepress/anchor.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const pages = globSync(['*.md', 'docs/**/*.md', 'packages/*/README.md', 'examples/*/README.md', 'bench/*.md'], {
  cwd: root,
  exclude: (path) => path.includes('node_modules') || path.startsWith('docs/api'),
})

/** Without its code blocks, and with the pages that it includes. */
function proseOf(page: string): string {
  const text = readFileSync(join(root, page), 'utf8')
  const whole = text.replace(/<!--@include: (\S+?)-->/g, (_, file: string) => proseOf(join(dirname(page), file)))
  return whole.replace(/^```[\s\S]*?^```/gm, '')
}

function anchorsOf(page: string): string[] {
  return [...proseOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    anchorOf(heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')),
  )
}

it.each(pages)('every link of %s leads somewhere, to a heading too', (page) => {
  const text = readFileSync(join(root, page), 'utf8').replace(/^```[\s\S]*?^```/gm, '')
  const links = [...text.matchAll(/\]\(([^)\s#]*)(?:#([^)\s]*))?\)/g)]
    .map(([, target = '', anchor]) => ({ target, anchor, file: target === '' ? page : join(dirname(page), target) }))
    .filter(({ target }) => !/^[a-z]+:/.test(target))
  const isDead = ({ anchor, file }: (typeof links)[number]): boolean =>
    !existsSync(join(root, file)) || (anchor !== undefined && file.endsWith('.md') && !anchorsOf(file).includes(anchor))

  expect(links.filter(isDead).map(({ target, anchor }) => `${target}#${anchor ?? ''}`)).toEqual([])
})
