import { existsSync, globSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { canInstallDebianPackages, installDebianPackage } from '../services/debian-package.ts'

/** What the host of the database takes for the time. */
export interface DatabaseClock {
  /** For the server's start. */
  readonly env: Readonly<Record<string, string>>
  /** From now on it is off by so much. */
  move(offsetMs: number): void
}

const library = (): string | undefined => globSync('/usr/lib/*/faketime/libfaketimeMT.so.1')[0]

/** Why it cannot be moved here; null: it can. */
export function whyNoDatabaseClock(): string | null {
  if (library() !== undefined || (canInstallDebianPackages() && existsSync('/proc/uptime'))) return null
  return 'libfaketime is missing, and only root on Debian can install it'
}

/** The wall clock alone: what the kernel counts since its start goes on, as on a machine whose clock is set. */
export function createDatabaseClock(folder: string): DatabaseClock {
  if (library() === undefined) installDebianPackage('libfaketime')
  const file = join(folder, 'clock')
  const move = (offsetMs: number): void => {
    writeFileSync(`${file}.next`, `${offsetMs < 0 ? '-' : '+'}${String(Math.abs(offsetMs) / 1_000)}\n`)
    renameSync(`${file}.next`, file)
  }
  move(0)
  return {
    env: {
      LD_PRELOAD: library() ?? '',
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
    move,
  }
}
