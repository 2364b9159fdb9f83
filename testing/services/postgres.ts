import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { HarnessError } from '../harness-error.ts'
import { scaled } from '../slowness.ts'
import { stablePort } from './stable-port.ts'
import { postgresBinaries } from './postgres-binaries.ts'
import { type ServerUser, serverUser } from './server-user.ts'

export interface PostgresService {
  /** Connection string of the `postgres` database, as its superuser. Stays the same over restarts. */
  readonly url: string
  readonly port: number
  /** Process id of the server now running. */
  readonly pid: number
  /** `fast` ends sessions and checkpoints; `immediate` is a crash: the next start recovers from the log. */
  stop(mode?: 'fast' | 'immediate'): Promise<void>
  /** Starts a stopped server again on the same port and data. */
  start(): Promise<void>
}

export interface PostgresOptions {
  /** Keep the data here and find it again next time. Default: a temporary folder, removed on stop. */
  readonly dataDir?: string
  /** Survive a crash of the server. False is faster and only for tests that never crash it. @defaultValue true */
  readonly durable?: boolean
  /** Major version. @defaultValue as the variable MALOTE_TEST_POSTGRES_MAJOR says, else the newest */
  readonly major?: string
  /** Further settings, for example `{ max_prepared_transactions: 5 }`. */
  readonly settings?: Readonly<Record<string, string | number>>
  /** Further variables of its environment. */
  readonly env?: Readonly<Record<string, string>>
}

const signals = { fast: 'SIGINT', immediate: 'SIGQUIT' } as const

/**
 * Starts a real PostgreSQL from the npm-packaged binaries (which ones: see postgres-binaries.ts), on a free loopback port.
 * PostgreSQL refuses to run as root, so as root it runs as `nobody`.
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresService> {
  const temporary = options.dataDir === undefined
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'malote-postgres-'))
  const user = serverUser()
  const binaries = postgresBinaries(user, options.major)
  if (!existsSync(join(dataDir, 'PG_VERSION'))) initialise(binaries, dataDir, user)
  await endLeftOver(dataDir)
  const port = await stablePort()
  const launchNow = (): Promise<ChildProcess> => launchWhenFree(() => launch(binaries, dataDir, port, user, options))
  let server = await launchNow()
  let stopping: Promise<void> = Promise.resolve()

  return {
    url: `postgres://postgres@127.0.0.1:${String(port)}/postgres`,
    port,
    get pid() {
      return server.pid as number
    },
    start: async () => {
      await stopping // Whoever does not wait for a stop before the start must not find the old server in the way.
      server = await launchNow()
    },
    stop: async (mode = 'fast') => {
      stopping = end(server, signals[mode])
      await stopping
      if (temporary && mode === 'fast') rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

/** Made aside and moved into place when complete: a process killed in between leaves nothing that looks like a data folder. */
function initialise(binaries: string, dataDir: string, user: ServerUser): void {
  const aside = `${dataDir}.initdb`
  rmSync(aside, { recursive: true, force: true })
  mkdirSync(aside, { recursive: true })
  if (user.uid !== undefined && user.gid !== undefined) chownSync(aside, user.uid, user.gid)
  const flags = ['-D', aside, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync']
  const made = spawnSync(join(binaries, 'initdb'), flags, { ...user, encoding: 'utf8', cwd: tmpdir() })
  if (made.status !== 0)
    throw new HarnessError(`cannot create a PostgreSQL data folder in ${dataDir}: ${made.stderr || String(made.error)}`)
  if (existsSync(dataDir)) rmdirSync(dataDir)
  renameSync(aside, dataDir)
}

/** A server whose parent was killed goes on running; two servers on one folder must not be. */
async function endLeftOver(dataDir: string): Promise<void> {
  const pidFile = join(dataDir, 'postmaster.pid')
  if (!existsSync(pidFile)) return
  const pid = Number(readFileSync(pidFile, 'utf8').split('\n')[0])
  if (!runsPostgres(pid, dataDir)) return
  process.kill(pid, signals.fast)
  const deadline = Date.now() + scaled(30_000)
  while (runsPostgres(pid, dataDir)) {
    if (Date.now() > deadline)
      throw new HarnessError(`PostgreSQL process ${String(pid)} still uses ${dataDir} after 30 s: end it and try again`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** Whether it is the server of this folder: the number may belong to another one by now. */
function runsPostgres(pid: number, dataDir: string): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    if (existsSync('/proc/self')) return readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8').includes(dataDir)
    process.kill(pid, 0)
    return true
  } catch {
    return false // No such process: nothing is left to end.
  }
}

/**
 * A killed server's remains (a process nobody has waited for yet, backends that have not noticed) keep the folder for a
 * moment. PostgreSQL refuses then, rightly, and is asked again.
 */
async function launchWhenFree(launchOnce: () => Promise<ChildProcess>): Promise<ChildProcess> {
  const deadline = Date.now() + scaled(30_000)
  for (;;) {
    try {
      return await launchOnce()
    } catch (error) {
      const isHeld = /postmaster\.pid" already exists|pre-existing shared memory block/.test(String(error))
      if (!isHeld || Date.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
}

async function launch(
  binaries: string,
  dataDir: string,
  port: number,
  user: ServerUser,
  options: PostgresOptions,
): Promise<ChildProcess> {
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: '',
    max_connections: 200,
    shared_buffers: '128MB',
    ...(options.durable === false ? { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off' } : {}),
    ...options.settings,
  }
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${String(value)}`])
  // Its own group: a terminal's Ctrl-C must not stop the database before the clients that still settle.
  const spawnOptions = {
    ...user,
    cwd: tmpdir(),
    stdio: ['ignore', 'ignore', 'pipe'] as ['ignore', 'ignore', 'pipe'],
    detached: true,
  }
  const server = spawn(join(binaries, 'postgres'), ['-D', dataDir, ...flags], {
    ...spawnOptions,
    env: { ...process.env, LC_ALL: 'C', ...options.env },
  })
  const log: string[] = []
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: server.stderr }).on('line', (line) => {
      if (log.push(line) > 50) log.shift()
      if (line.includes('database system is ready to accept connections')) resolve()
    })
    server.once('error', reject)
    server.once('exit', (code) =>
      reject(new HarnessError(`PostgreSQL ended with ${String(code)} before it was ready:\n${log.join('\n')}`)),
    )
  })
  server.unref()
  return server
}

async function end(server: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return
  const exited = once(server, 'exit')
  server.ref()
  server.kill(signal)
  await exited
}
