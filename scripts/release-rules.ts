// What must hold of the packages of a release. pack-check and release-check ask it of real ones; each function names what is wrong, or nothing.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

export interface Release {
  /** The version before it. */
  readonly before: string
  /** The versions that the packages have now. */
  readonly versions: readonly string[]
  readonly hadChangesets: boolean
  readonly changesetsLeft: number
}

export interface Tarball {
  readonly name: string
  readonly version: string
  /** `files` of the manifest. */
  readonly files: readonly string[]
  /** What the tarball has. */
  readonly paths: readonly string[]
  readonly manifest: string
  readonly changelog: string
}

export function wrongWithVersions({ before, versions, hadChangesets, changesetsLeft }: Release): string[] {
  const found = new Set(versions)
  return [
    ...(found.size > 1 ? [`the packages have the versions ${[...found].join(', ')}`] : []),
    ...(hadChangesets && found.has(before) ? [`the changesets left the version at ${before}`] : []),
    ...(changesetsLeft > 0 ? [`${String(changesetsLeft)} changesets are left over`] : []),
  ]
}

export function wrongWithTarball({ name, version, files, paths, manifest, changelog }: Tarball): string[] {
  const missing = files.filter(
    (file) => !paths.some((path) => path === `package/${file}` || path.startsWith(`package/${file}/`)),
  )
  return [
    ...missing.map((file) => `${name} carries no ${file}`),
    ...(manifest.includes('"workspace:') ? [`${name} asks for a package of the workspace`] : []),
    ...(changelog.split('\n').includes(`## ${version}`) ? [] : [`${name} has no changelog of ${version}`]),
  ]
}

/** Of what a service of that version's `npm create malote` depends on. */
export function wrongWithService(dependencies: Readonly<Record<string, string>>, version: string): string[] {
  const ours = Object.entries(dependencies).filter(([name]) => name.startsWith('@malote/'))
  if (ours.length === 0) return ['`npm create malote` makes a service without a package of ours']
  return ours
    .filter(([, range]) => range !== `^${version}`)
    .map(([name, range]) => `\`npm create malote\` makes a service with ${name} ${range}`)
}

/** Of the guides in the folder `docs` of an installed package, when `written` guides there are. */
export function wrongWithGuides(docs: string, written: number): string[] {
  const pages = globSync('**/*.md', { cwd: docs })
  const dead = pages.flatMap((page) => {
    const prose = readFileSync(join(docs, page), 'utf8').replaceAll(/^```[\s\S]*?^```/gm, '')
    return [...prose.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !/^[a-z]+:/.test(target) && !existsSync(join(docs, dirname(page), target)))
      .map((target) => `in the package, ${page} links to ${target}, which is not there`)
  })
  return pages.length === written
    ? dead
    : [`${String(pages.length)} of ${String(written)} guides are in the package`, ...dead]
}
