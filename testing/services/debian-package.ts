import { spawnSync } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'

const policyFile = '/usr/sbin/policy-rc.d'

/** Whether `installDebianPackage` may be tried: Debian or a relative, and root. */
export function canInstallDebianPackages(): boolean {
  return process.getuid?.() === 0 && existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg')
}

/**
 * Installs a package and what it strictly needs, without starting the system service it brings: tests run servers of
 * their own, in private folders and on private ports.
 *
 * @throws Error with the end of apt's words
 */
export function installDebianPackage(name: string): void {
  const ownPolicy = !existsSync(policyFile)
  if (ownPolicy) writeFileSync(policyFile, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    apt(['update'])
    apt(['install', '-y', '--no-install-recommends', name])
  } finally {
    if (ownPolicy) rmSync(policyFile)
  }
}

function apt(args: readonly string[]): void {
  const run = spawnSync('apt-get', ['-o', 'DPkg::Lock::Timeout=180', ...args], {
    encoding: 'utf8',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
  })
  if (run.status !== 0)
    throw new Error(`apt-get ${args.join(' ')} failed: ${(run.stderr || String(run.error)).slice(-1_000)}`)
}
