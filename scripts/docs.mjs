// Builds the site: the API reference as Markdown, the guides, a text for language models. `--guides` leaves the API reference
// out, which takes most of the time: for the gate, which a broken link or page must not pass. `--serve` shows the site on loopback afterwards.
import { execFileSync } from 'node:child_process'
import { globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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
const guides = globSync('docs/*.md')
  .filter((file) => !file.endsWith('index.md'))
  .sort()
const titleOf = (text) => /^# (.*)$/m.exec(text)?.[1] ?? ''
const pages = guides.map((file) => ({ path: file.slice('docs'.length), text: readFileSync(file, 'utf8') }))
const list = pages.map(({ path, text }) => `- [${titleOf(text)}](${path})`).join('\n')
const summary = 'Transactional outbox and idempotency for PostgreSQL, in TypeScript.'
writeFileSync(`${dist}/llms.txt`, `# Malote\n\n> ${summary}\n\n## Guides\n\n${list}\n`)
writeFileSync(`${dist}/llms-full.txt`, pages.map(({ text }) => text).join('\n\n'))
if (base === undefined) await checkSearch(dist)
console.log(`the site is in ${dist}`)
if (process.argv.includes('--serve'))
  run('docs/node_modules/.bin/vitepress', 'preview', 'docs', '--port', '4173', '--host', '127.0.0.1')
