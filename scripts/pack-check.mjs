// Run before a release (CI does): packs every package, lints the tarballs, installs them into an empty project and imports
// every entry point on each supported Node; then those that do without OpenTelemetry, without it; then as a stranger uses them. Expects `npm run build` to have run.
import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { useFromOutside } from './outside.mjs'
import { wrongWithGuides } from './release-rules.ts'

const root = process.cwd()
const work = mkdtempSync(join(tmpdir(), 'malote-pack-'))
const pnpm = process.env.MALOTE_PNPM
const supported = { 22: '22.23.3', 24: '24.21.0', 26: '26.10.0' }
const oldestTypeScript = '5.9.3'
/** Largest tarball of a package, in KiB: what a change adds by mistake shows. The largest, outbox-core, has 690 with its guides. */
const largestKiB = 800
const run = (command, args, options = {}) =>
  execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], ...options })
const manifests = readdirSync('packages').map((folder) => ({
  folder,
  ...JSON.parse(readFileSync(join('packages', folder, 'package.json'), 'utf8')),
}))

/** Packs one package and lets publint and attw judge what would be published. */
function pack({ folder, name, publishConfig, dependencies = {} }) {
  const cwd = join(root, 'packages', folder)
  run(process.execPath, [pnpm, 'pack', '--pack-destination', work], { cwd })
  const tarball = join(
    work,
    readdirSync(work).find((file) => file.startsWith(name.replace('@', '').replace('/', '-')) && file.endsWith('.tgz')),
  )
  const kib = Math.ceil(statSync(tarball).size / 1024)
  if (kib > largestKiB) throw new Error(`${name} has ${kib} KiB packed, and ${largestKiB} are allowed`)
  const foreign = Object.keys(dependencies).filter((dependency) => !dependency.startsWith('@malote/'))
  if (foreign.length > 0)
    throw new Error(`${name} needs ${foreign.join(', ')} at run time: nothing but our own may be needed`)
  run(join(root, 'node_modules/.bin/publint'), [tarball, '--strict'])
  if (publishConfig.exports === undefined) return tarball // Nothing to import.
  run(join(root, 'node_modules/.bin/attw'), [tarball, '--profile', 'esm-only', '--no-emoji'])
  return tarball
}

/** Peers a user would have: what each package needs or optionally uses, at the versions we develop with. */
function peers() {
  const wanted = manifests.flatMap((m) =>
    Object.keys(m.peerDependencies ?? {}).map((peer) => [peer, m.devDependencies?.[peer]]),
  )
  return (
    wanted
      .filter(([peer, version]) => !peer.startsWith('@malote/') && version !== undefined)
      // Its install script fetches an addon, or compiles it for minutes. Our entry point for it imports nothing of it.
      .filter(([peer]) => peer !== '@confluentinc/kafka-javascript')
      .map(([peer, version]) => `${peer}@${version}`)
  )
}

/** A Node of that version: this one if it fits, else from the npm registry. */
function nodeBinary(major) {
  if (process.versions.node.startsWith(`${major}.`)) return process.execPath
  const prefix = join(root, '.tools', `node-${process.platform}-${process.arch}@${supported[major]}`)
  const home = join(prefix, 'node_modules', `node-${process.platform}-${process.arch}`)
  mkdirSync(prefix, { recursive: true })
  run('npm', [
    'install',
    '--prefix',
    prefix,
    '--no-save',
    '--no-audit',
    '--no-fund',
    `node-${process.platform}-${process.arch}@${supported[major]}`,
  ])
  return join(home, 'bin', 'node')
}

const tarballs = new Map(manifests.map((manifest) => [manifest.name, pack(manifest)]))
const tarballOf = (name) => tarballs.get(name)
const libraries = manifests.filter((m) => m.publishConfig.exports !== undefined).map((m) => m.name)
console.log(`packed and linted: ${manifests.map((m) => m.name).join(', ')}`)
const project = join(work, 'project')
mkdirSync(project)
writeFileSync(join(project, 'package.json'), '{ "name": "empty", "private": true, "type": "module" }')
run(
  'npm',
  ['install', '--no-audit', '--no-fund', '--loglevel=error', ...libraries.map(tarballOf), ...new Set(peers())],
  {
    cwd: project,
  },
)
const entries = manifests.flatMap((m) =>
  Object.keys(m.publishConfig.exports ?? {})
    .filter((e) => !e.endsWith('.json'))
    .map((e) => m.name + e.slice(1)),
)

/** Imports the entry points in the project on every supported Node, and requires them as CommonJS does. */
function importAll(entries, circumstance) {
  const required = entries.map((entry) => `if (Object.keys(require('${entry}')).length === 0) process.exit(1)`)
  writeFileSync(join(project, 'require.cjs'), required.join('\n'))
  const program = entries
    .map(
      (entry) => `if (Object.keys(await import('${entry}')).length === 0) throw new Error('${entry} exports nothing')`,
    )
    .join('\n')
  writeFileSync(join(project, 'import.mjs'), program)
  for (const major of Object.keys(supported)) {
    run(nodeBinary(major), ['import.mjs'], { cwd: project })
    run(nodeBinary(major), ['--no-warnings', 'require.cjs'], { cwd: project })
    console.log(`Node ${supported[major]}: ${entries.length} entry points import, and load by require${circumstance}`)
  }
}

/** Every page is there, and what it names as another page or file of the package is there too. */
function readGuides() {
  const docs = join(project, 'node_modules/@malote/outbox-core/docs')
  // The site's front page stays out, a list of the pages comes in.
  const written = globSync(['docs/*.md', 'docs/decisions/*.md']).length
  const wrong = wrongWithGuides(docs, written)
  if (wrong.length > 0) throw new Error(wrong.join('\n'))
  console.log(`${written} guides are in @malote/outbox-core, and every link of theirs leads somewhere`)
}

/** What is promised is the oldest TypeScript; ours is the newest. The guide's catalog, both ends, and every entry point are compiled. */
function compileWithOldest() {
  run(
    'npm',
    [
      'install',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
      `typescript@${oldestTypeScript}`,
      'zod@4',
      '@types/pg',
      '@types/node@22',
    ],
    {
      cwd: project,
    },
  )
  copyFileSync('docs/snippets/catalog/both-ends.ts', join(project, 'both-ends.ts'))
  const imports = entries.map((entry, index) => `import * as entry${index} from '${entry}'\nvoid entry${index}`)
  writeFileSync(join(project, 'entries.ts'), imports.join('\n'))
  const flags = '--noEmit --strict --skipLibCheck --module nodenext --target es2022 both-ends.ts entries.ts'.split(' ')
  run(process.execPath, ['node_modules/typescript/bin/tsc', ...flags], { cwd: project })
  run(join(root, 'node_modules/.bin/tsc'), flags, { cwd: project })
  console.log(`the types of ${entries.length} entry points compile with TypeScript ${oldestTypeScript} and with ours`)
}

readGuides()
importAll(entries, '')
// Whatever of the clients brought it along: who does not measure must not need it.
rmSync(join(project, 'node_modules/@opentelemetry'), { recursive: true })
importAll(
  entries.filter((entry) => !entry.endsWith('/otel')),
  ' without @opentelemetry/api',
)
compileWithOldest()
await useFromOutside(work, tarballOf)
rmSync(work, { recursive: true, force: true })
