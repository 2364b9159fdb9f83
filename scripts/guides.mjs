// Before a package is packed (its `prepack`, so in the package's folder): puts the guides and the decisions into its `docs`. Whoever has the
// package then has the guides of that very version, without a network. A link that leaves them leads to the repository.
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, posix, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
if (dirname(process.cwd()) !== resolve(root, 'packages'))
  throw new Error('run it in the folder of a package: it replaces its `docs`')
const repository = 'https://github.com/malote/malote'
/** The site's front page is none: it is made of the site's own parts. */
const guides = globSync(['docs/*.md', 'docs/decisions/*.md'], { cwd: root, exclude: ['docs/index.md'] })
  .map((path) => path.replaceAll('\\', '/'))
  .sort()

/** A link as the copy needs it: as it was to another guide, to the repository otherwise. */
function linkFrom(page, target) {
  if (/^([a-z]+:|#)/.test(target)) return target
  const [path, anchor] = target.split('#')
  const file = posix.join(posix.dirname(page), path)
  if (guides.includes(file)) return target
  const kind = /\.(svg|png)$/.test(file) ? 'raw' : 'blob'
  return `${repository}/${kind}/main/${file}${anchor === undefined ? '' : `#${anchor}`}`
}

const withLinks = (page, prose) => prose.replaceAll(/\]\(([^)\s]+)\)/g, (_, target) => `](${linkFrom(page, target)})`)

rmSync('docs', { recursive: true, force: true })
const list = guides.map((page) => {
  const text = readFileSync(join(root, page), 'utf8')
  // Every second part is a code block.
  const parts = text.split(/(^```[\s\S]*?^```)/m).map((part, index) => (index % 2 === 0 ? withLinks(page, part) : part))
  mkdirSync(dirname(page), { recursive: true })
  writeFileSync(page, parts.join(''))
  return `- [${/^# (.*)$/m.exec(text)?.[1] ?? page}](${posix.relative('docs', page)})`
})
writeFileSync('docs/README.md', `# Guides of this version\n\n${list.join('\n')}\n`)
