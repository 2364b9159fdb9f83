import { readdirSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const packages = new URL('../../packages/', import.meta.url)

interface Manifest {
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>
  readonly publishConfig: { readonly exports: Readonly<Record<string, unknown>> }
}

const read = (path: string): unknown => JSON.parse(readFileSync(new URL(path, packages), 'utf8'))

/** TypeDoc does not find the sources behind `exports` itself, and only warns about it. */
const libraries = readdirSync(packages).filter((folder) => folder !== 'create-malote') // Nobody imports that one.

it.each(libraries)('every entry point of %s is published and on the API site', (folder) => {
  const { exports, publishConfig } = read(`${folder}/package.json`) as Manifest
  const { entryPoints } = read(`${folder}/typedoc.json`) as { readonly entryPoints: readonly string[] }

  const sources = Object.values(exports).flatMap((entry) =>
    typeof entry === 'string' ? [] : [entry['@malote/source']],
  )
  expect(entryPoints.map((file) => `./${file}`)).toEqual(sources)
  expect(Object.keys(publishConfig.exports)).toEqual(Object.keys(exports))
})
