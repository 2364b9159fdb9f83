// Run after changing a snippet: copies the code of docs/snippets into the pages that show it.
import { globSync, writeFileSync } from 'node:fs'
import { withCurrentSnippets } from '../docs/snippets/snippet-blocks.ts'

process.chdir(new URL('..', import.meta.url).pathname)
const pages = globSync([
  'README.md',
  'docs/*.md',
  'docs/decisions/*.md',
  'packages/*/README.md',
  'examples/*/README.md',
])
for (const page of pages) writeFileSync(page, withCurrentSnippets(page))
