import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { createInterface } from 'node:readline'
import { canInstallDebianPackages, installDebianPackage } from './debian-package.ts'
import { HarnessError } from '../harness-error.ts'
import { stablePort } from './stable-port.ts'

export interface RedisService {
  readonly url: string
  /** Ends the server; its data was in memory. */
  close(): Promise<void>
}

/**
 * A Redis to talk to: the one `MALOTE_TEST_REDIS_URL` names, else an installed `redis-server`, else Debian's (as root).
 *
 * @throws Error that says what to install when there is none
 */
export async function startRedis(): Promise<RedisService> {
  const given = process.env['MALOTE_TEST_REDIS_URL']
  if (given !== undefined && given !== '') return { url: given, close: () => Promise.resolve() }
  provideServer()
  const port = await stablePort()
  const flags = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const server = spawn('redis-server', flags, { cwd: tmpdir(), stdio: ['ignore', 'pipe', 'ignore'] })
  const exited = once(server, 'exit')
  process.once('exit', () => server.kill())
  const ready = new Promise<'ready'>((resolve) => {
    createInterface({ input: server.stdout }).on('line', (line) => {
      if (line.includes('Ready to accept connections')) resolve('ready')
    })
  })
  const first = await Promise.race([ready, exited, once(server, 'error')])
  if (first !== 'ready') throw new HarnessError(`redis-server ended before it was ready: ${String(first)}`)
  return {
    url: `redis://127.0.0.1:${String(port)}`,
    close: async () => {
      server.kill('SIGTERM')
      await exited
    },
  }
}

function provideServer(): void {
  if (spawnSync('redis-server', ['--version']).status === 0) return
  if (!canInstallDebianPackages())
    throw new Error('tests against Redis cannot run: install redis-server, or set MALOTE_TEST_REDIS_URL')
  installDebianPackage('redis-server')
}
