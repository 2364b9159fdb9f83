// Run when a release was published: writes a software bill of materials of each package (CycloneDX), as its user gets it, into the named folder.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const out = resolve(process.argv[2] ?? 'sbom')
mkdirSync(out, { recursive: true })
const run = (command, args, cwd) =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
const packed = mkdtempSync(join(tmpdir(), 'malote-sbom-'))
const tarballs = readdirSync('packages').map((folder) => {
  const { filename } = JSON.parse(
    run(
      process.execPath,
      [process.env.MALOTE_PNPM, 'pack', '--json', '--pack-destination', packed],
      join('packages', folder),
    ),
  )
  const { name } = JSON.parse(readFileSync(join('packages', folder, 'package.json'), 'utf8'))
  return { folder, name, tarball: resolve(packed, filename) }
})
for (const { folder, name } of tarballs) {
  const project = mkdtempSync(join(packed, 'project-'))
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ name: `sbom-of-${folder}`, version: '0.0.0', private: true }),
  )
  // The package, those of ours it needs, and the peers that npm brings along.
  const own = tarballs.filter(
    (one) => one.name === name || (folder !== 'create-malote' && one.folder === 'outbox-core'),
  )
  run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', ...own.map((one) => one.tarball)], project)
  writeFileSync(join(out, `${folder}.cdx.json`), run('npm', ['sbom', '--sbom-format=cyclonedx'], project))
  console.log(`${out}/${folder}.cdx.json`)
}
rmSync(packed, { recursive: true, force: true })
