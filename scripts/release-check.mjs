// Goes through a release without publishing it: the versions and changelogs that the changesets ask for, the build, `pnpm publish --dry-run`,
// and a service made by `npm create malote` of that version. In a clone of what is committed, so that nothing here changes. Not in the gate: it
// builds everything once more, in three minutes. Run it before merging the pull request of a release.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeService, testAsNobody } from './outside.mjs'
import { wrongWithService, wrongWithTarball, wrongWithVersions } from './release-rules.ts'

const root = process.cwd()
const work = mkdtempSync(join(tmpdir(), 'malote-release-'))
const clone = join(work, 'malote')
const run = (command, args, cwd = clone) =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
const read = (...path) => JSON.parse(readFileSync(join(clone, ...path), 'utf8'))
const end = (wrong) => {
  if (wrong.length > 0) throw new Error(`the release would go wrong: ${wrong.join('; ')}`)
}
const versionsOf = (folders) => folders.map((folder) => read('packages', folder, 'package.json').version)
const changesets = () => readdirSync(join(clone, '.changeset')).filter((file) => file.endsWith('.md')).length

/** What would be published of one package: its name and its tarball. */
function publish(folder, version) {
  const cwd = join(clone, 'packages', folder)
  const { name, files } = read('packages', folder, 'package.json')
  run(process.execPath, [process.env.MALOTE_PNPM, 'publish', '--dry-run', '--no-git-checks', '--access', 'public'], cwd)
  run(process.execPath, [process.env.MALOTE_PNPM, 'pack', '--pack-destination', work], cwd)
  const tarball = join(work, `${name.replace('@', '').replace('/', '-')}-${version}.tgz`)
  const paths = run('tar', ['-tzf', tarball], work).trim().split('\n')
  const manifest = run('tar', ['-xzOf', tarball, 'package/package.json'], work)
  const log = join(cwd, 'CHANGELOG.md')
  const changelog = existsSync(log) ? readFileSync(log, 'utf8') : ''
  end(wrongWithTarball({ name, version, files, paths, manifest, changelog }))
  console.log(`${name}@${version}: ${paths.length} files`)
  return [name, tarball]
}

/** A service of the published `npm create malote`: it asks for these versions, and passes its tests on its own PostgreSQL, installed by npm. */
async function makeOne(tarballs, version) {
  const tarballOf = (name) => tarballs.get(name)
  run(process.execPath, [join(clone, 'packages/create-malote/create.mjs'), 'plain'], work)
  end(wrongWithService(JSON.parse(readFileSync(join(work, 'plain/package.json'), 'utf8')).dependencies, version))
  const cwd = await makeService(work, tarballOf)
  run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error'], cwd)
  await testAsNobody(work, cwd, {})
  console.log('`npm create malote` asks for the packages of that version, and its service passes its tests under npm')
}

try {
  run('git', ['clone', '--quiet', root, clone], root)
  symlinkSync(join(root, '.tools'), join(clone, '.tools'))
  const folders = readdirSync(join(clone, 'packages'))
  const [before] = versionsOf(folders)
  const hadChangesets = changesets() > 0
  run('npm', ['run', '--silent', 'version-packages'])
  const versions = versionsOf(folders)
  const [version] = versions
  end(wrongWithVersions({ before, versions, hadChangesets, changesetsLeft: changesets() }))
  console.log(`changesets take ${before} to ${version}`)
  run('npm', ['run', '--silent', 'build'])
  await makeOne(new Map(folders.map((folder) => publish(folder, version))), version)
} finally {
  rmSync(work, { recursive: true, force: true })
}
