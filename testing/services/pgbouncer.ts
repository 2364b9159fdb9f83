import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { canInstallDebianPackages, installDebianPackage } from './debian-package.ts'
import { HarnessError } from '../harness-error.ts'
import { stablePort } from './stable-port.ts'
import { serverUser } from './server-user.ts'

export type PoolMode = 'session' | 'transaction' | 'statement'

export interface PooledUrl {
  /** The same database by way of the pooler. */
  readonly url: string
  readonly port: number
  /** SIGKILL: every session through it ends at once. */
  kill(): Promise<void>
  /** Starts one that was killed again, on the same port. */
  start(): Promise<void>
  close(): Promise<void>
}

/** Sessions to the server that clients share: few, so that they really share them, unless told otherwise. */
const poolSizes: Readonly<Record<PoolMode, number>> = { session: 20, transaction: 4, statement: 4 }

/**
 * A PgBouncer before a PostgreSQL, in transaction mode unless told otherwise: an installed one, else Debian's (as root).
 *
 * @throws Error that says what to install when there is none
 */
export async function startPgbouncer(
  databaseUrl: string,
  mode: PoolMode = 'transaction',
  poolSize: number = poolSizes[mode],
): Promise<PooledUrl> {
  provideServer()
  const target = new URL(databaseUrl)
  const port = await stablePort()
  const folder = mkdtempSync(join(tmpdir(), 'malote-pgbouncer-'))
  chmodSync(folder, 0o755) // As root, it runs as somebody else and must get through to its settings.
  const file = join(folder, 'pgbouncer.ini')
  writeFileSync(file, settings(target, port, { mode, poolSize }))
  let server = await launch(file)
  return {
    url: Object.assign(new URL(databaseUrl), { port: String(port) }).toString(),
    port,
    kill: () => end(server, 'SIGKILL'),
    start: async () => {
      server = await launch(file)
    },
    close: async () => {
      await end(server, 'SIGINT')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function launch(file: string): Promise<ChildProcess> {
  const server = spawn('pgbouncer', [file], { ...serverUser(), cwd: tmpdir(), stdio: ['ignore', 'ignore', 'pipe'] })
  const ready = new Promise<'ready'>((resolve) => {
    createInterface({ input: server.stderr }).on('line', (line) => {
      if (line.includes('process up')) resolve('ready')
    })
  })
  const first = await Promise.race([ready, once(server, 'exit'), once(server, 'error')])
  if (first !== 'ready') throw new HarnessError(`pgbouncer ended before it was ready: ${String(first)}`)
  return server
}

async function end(server: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return
  const exited = once(server, 'exit')
  server.kill(signal)
  await exited
}

interface Pooling {
  readonly mode: PoolMode
  readonly poolSize: number
}

function settings(target: URL, port: number, { mode, poolSize }: Pooling): string {
  return `[databases]
* = host=${target.hostname} port=${target.port} user=${target.username}${target.password === '' ? '' : ` password=${target.password}`}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${String(port)}
unix_socket_dir =
auth_type = any
pool_mode = ${mode}
default_pool_size = ${String(poolSize)}
max_client_conn = 500
ignore_startup_parameters = extra_float_digits
`
}

function provideServer(): void {
  if (spawnSync('pgbouncer', ['--version']).status === 0) return
  if (!canInstallDebianPackages()) throw new Error('tests through a pooler cannot run: install pgbouncer')
  installDebianPackage('pgbouncer')
}
