// Builds the site: the API reference as Markdown, the guides, a text for language models. `--guides` leaves the API reference
// out, which takes most of the time: for the gate, which a broken link or page must not pass. `--serve` shows the site on loopback afterwards.
import { execFileSync } from 'node:child_process'
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { checkSearch } from './search-check.mjs'

const dist = 'docs/.vitepress/dist'
const run = (command, ...args) => execFileSync(command, args, { stdio: 'inherit' })
const [base] = process.argv.filter((argument) => argument.startsWith('--base='))
if (base !== undefined) process.env.MALOTE_DOCS_BASE = base.slice('--base='.length)

const isGuidesOnly = process.argv.includes('--guides')
if (isGuidesOnly) process.env.MALOTE_DOCS_GUIDES_ONLY = '1'
else {
  rmSync('docs/api', { recursive: true, force: true })
  run('typedoc')
}
run('docs/node_modules/.bin/vitepress', 'build', 'docs')

// llms.txt names the pages, llms-full.txt holds the guides. https://llmstxt.org
const include = (file, text) =>
  text.replace(/<!--@include: (\S+?)-->/g, (_, path) => readFileSync(join(dirname(file), path), 'utf8'))
const titleOf = (text) => /^# (.*)$/m.exec(text)?.[1] ?? ''
const pages = globSync(['docs/*.md', 'docs/adapters/*.md'], { exclude: ['docs/index.md'] })
  .sort()
  .map((file) => ({ path: file.slice('docs/'.length, -'.md'.length), text: include(file, readFileSync(file, 'utf8')) }))
const site = (process.env.MALOTE_DOCS_BASE ?? '/').replace(/\/?$/, '/')
const list = pages.map(({ path, text }) => `- [${titleOf(text)}](${site}${path}.html)`).join('\n')
const gone = pages.filter(({ path, text }) => titleOf(text) === '' || !existsSync(`${dist}/${path}.html`))
if (gone.length > 0)
  throw new Error(`llms.txt would name what is not there: ${gone.map(({ path }) => path).join(', ')}`)
const summary = 'Transactional outbox and idempotency for PostgreSQL, in TypeScript.'
writeFileSync(`${dist}/llms.txt`, `# Malote\n\n> ${summary}\n\n## Guides\n\n${list}\n`)
writeFileSync(`${dist}/llms-full.txt`, pages.map(({ text }) => text).join('\n\n'))
if (base === undefined) await checkSearch(dist)
console.log(`the site is in ${dist}`)
if (process.argv.includes('--serve')) {
  // Not by `vitepress preview`, which listens on every address whatever its --host.
  const require = createRequire(createRequire(resolve('docs/package.json')).resolve('vitepress'))
  const vite = join(dirname(require.resolve('vite/package.json')), 'dist/node/index.js')
  const { preview } = await import(pathToFileURL(vite).href)
  const options = { host: '127.0.0.1', port: 4173, strictPort: true }
  const server = await preview({
    configFile: false,
    root: 'docs',
    base: site,
    build: { outDir: '.vitepress/dist' },
    appType: 'mpa',
    preview: options,
  })
  server.printUrls()
}
