import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { canInstallDebianPackages, installDebianPackage } from './debian-package.ts'

/** Outside of the project: a clone finds what another has made, and nothing that walks through the project comes here. */
const roots = '/var/lib/malote-judges'

/**
 * A folder with a Debian of another release and one package in it, for a version that this host's own release does not have. Its programs run in
 * it by `chroot`, which takes root. Made once, in two minutes and some 230 MB.
 *
 * @throws Error that says why it is not to be had
 */
export function debianRoot(release: string, name: string): string {
  if (!canInstallDebianPackages())
    throw new Error(`${name} of Debian ${release}: here only root on Debian could get it`)
  const root = join(roots, `${release}-${name}`)
  if (existsSync(root)) return root
  installDebianPackage('mmdebstrap')
  mkdirSync(roots, { recursive: true })
  const unfinished = `${root}.${String(process.pid)}`
  const keys = '--keyring=/usr/share/keyrings/debian-archive-keyring.gpg'
  const args = ['--mode=root', '--variant=essential', `--include=${name}`, keys, release, unfinished]
  const made = spawnSync('mmdebstrap', args, { encoding: 'utf8' })
  if (made.status !== 0) {
    rmSync(unfinished, { recursive: true, force: true })
    throw new Error(`mmdebstrap ${args.join(' ')} failed: ${made.stderr.slice(-1_000)}`)
  }
  // So that a path means the same inside and outside.
  const itself = join(unfinished, root)
  mkdirSync(dirname(itself), { recursive: true })
  symlinkSync(relative(dirname(itself), unfinished), itself)
  renameSync(unfinished, root)
  return root
}
