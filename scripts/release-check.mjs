// Goes through a release without publishing it: the versions and changelogs that the changesets ask for, the build, `pnpm publish --dry-run`,
// and a service made by `npm create malote` of that version. In a clone of what is committed, so that nothing here changes. Not in the gate: it
// builds everything once more, in three minutes. Run it before merging the pull request of a release.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = process.cwd()
const work = mkdtempSync(join(tmpdir(), 'malote-release-'))
const clone = join(work, 'malote')
const run = (command, args, cwd = clone) =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
const read = (...path) => JSON.parse(readFileSync(join(clone, ...path), 'utf8'))
const check = (holds, otherwise) => {
  if (!holds) throw new Error(`the release would go wrong: ${otherwise}`)
}

/** The versions all packages have: one, because they are released together. */
function versionOf(folders) {
  const versions = new Set(folders.map((folder) => read('packages', folder, 'package.json').version))
  check(versions.size === 1, `the packages have the versions ${[...versions].join(', ')}`)
  return [...versions][0]
}

/** What would be published of one package. */
function publish(folder, version) {
  const cwd = join(clone, 'packages', folder)
  const { name, files } = read('packages', folder, 'package.json')
  run(process.execPath, [process.env.MALOTE_PNPM, 'publish', '--dry-run', '--no-git-checks', '--access', 'public'], cwd)
  run(process.execPath, [process.env.MALOTE_PNPM, 'pack', '--pack-destination', work], cwd)
  const tarball = join(work, `${name.replace('@', '').replace('/', '-')}-${version}.tgz`)
  const paths = run('tar', ['-tzf', tarball], work).split('\n')
  for (const file of files)
    check(
      paths.some((path) => path.startsWith(`package/${file}`)),
      `${name} carries no ${file}`,
    )
  const manifest = run('tar', ['-xzOf', tarball, 'package/package.json'], work)
  check(!manifest.includes('workspace:'), `${name} asks for a package of the workspace`)
  const changelog = join(cwd, 'CHANGELOG.md')
  check(
    existsSync(changelog) && readFileSync(changelog, 'utf8').includes(`## ${version}`),
    `${name} has no changelog of ${version}`,
  )
  console.log(`${name}@${version}: ${paths.length - 1} files`)
}

try {
  run('git', ['clone', '--quiet', root, clone], root)
  symlinkSync(join(root, '.tools'), join(clone, '.tools'))
  const folders = readdirSync(join(clone, 'packages'))
  const before = versionOf(folders)
  const hasChangesets = readdirSync(join(clone, '.changeset')).some((file) => file.endsWith('.md'))
  run('npm', ['run', '--silent', 'version-packages'])
  const version = versionOf(folders)
  check(!hasChangesets || version !== before, `the changesets left the version at ${before}`)
  check(!readdirSync(join(clone, '.changeset')).some((file) => file.endsWith('.md')), 'changesets are left over')
  console.log(`changesets take ${before} to ${version}`)
  run('npm', ['run', '--silent', 'build'])
  for (const folder of folders) publish(folder, version)

  run(process.execPath, [join(clone, 'packages/create-malote/create.mjs'), 'my-service'], work)
  const { dependencies } = JSON.parse(readFileSync(join(work, 'my-service/package.json'), 'utf8'))
  for (const [name, range] of Object.entries(dependencies).filter(([one]) => one.startsWith('@malote/')))
    check(range === `^${version}`, `\`npm create malote\` makes a service with ${name} ${range}`)
  console.log('`npm create malote` asks for the packages of that version')
} finally {
  rmSync(work, { recursive: true, force: true })
}
