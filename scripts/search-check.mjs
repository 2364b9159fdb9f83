// Part of `npm run docs`: asks the index of the built site, by the site's own options, what readers ask. The right page must come first.
import { globSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { searchOptions } from '../docs/.vitepress/search.ts'

/** The pages that answer each question. */
const expected = {
  prisma: ['/other-clients'],
  privileges: ['/operations'],
  lambda: ['/lambda'],
  nest: ['/nest'],
  inbox: ['/inbox'],
  'dead letter': ['/operations'],
}

/** @throws Error that names each question whose first answer is another page */
export async function checkSearch(dist) {
  const require = createRequire(createRequire(resolve('docs/package.json')).resolve('vitepress'))
  const { default: MiniSearch } = await import(pathToFileURL(require.resolve('minisearch')).href)
  const [file] = globSync(`${dist}/assets/chunks/@localSearchIndexroot.*.js`)
  const { default: json } = await import(pathToFileURL(resolve(file)).href)
  const index = MiniSearch.loadJSON(json, { fields: ['title', 'titles', 'text'], storeFields: ['title', 'titles'] })
  const wrong = Object.entries(expected).flatMap(([question, pages]) => {
    const first = index.search(question, searchOptions)[0]?.id ?? 'nothing'
    return pages.includes(first.split('#')[0])
      ? []
      : [`"${question}" finds ${first} first, and not ${pages.join(' or ')}`]
  })
  if (wrong.length > 0) throw new Error(`the site's search: ${wrong.join('; ')}`)
  console.log(`the site's search finds the right page first for ${Object.keys(expected).join(', ')}`)
}
