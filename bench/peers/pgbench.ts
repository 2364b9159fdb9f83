import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'

export interface LoadOptions {
  readonly url: string
  /** One transaction: these statements, one after the other. */
  readonly statements: readonly string[]
  readonly clients: number
  /** Run each client this long, in seconds … */
  readonly seconds?: number
  /** … or this many transactions each. */
  readonly transactions?: number
}

/** What drives the server when no library is in the way. */
export const loadTool: 'pgbench' | 'raw pg loop' =
  spawnSync('pgbench', ['--version']).status === 0 ? 'pgbench' : 'raw pg loop'

/** Transactions per second of the bare server. pgbench where the host has it, else the same loop over raw pg connections. */
export function serverRate(options: LoadOptions): Promise<number> {
  return loadTool === 'pgbench' ? pgbench(options) : pgLoop(options)
}

async function pgbench({ url, statements, clients, seconds, transactions }: LoadOptions): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'malote-pgbench-'))
  const script = join(folder, 'script.sql')
  writeFileSync(script, statements.map((statement) => `${statement.replaceAll('\n', ' ')};\n`).join(''))
  const length = transactions === undefined ? ['-T', String(seconds)] : ['-t', String(transactions)]
  const flags = ['-n', '-M', 'prepared', '-c', String(clients), '-j', '2', ...length, '-f', script, url]
  try {
    const { stdout } = await promisify(execFile)('pgbench', flags)
    const tps = /tps = ([\d.]+) \(without initial connection time\)/.exec(stdout)?.[1]
    if (tps === undefined) throw new Error(`pgbench printed no rate:\n${stdout}`)
    return Number(tps)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

async function pgLoop({
  url,
  statements,
  clients,
  seconds = 3_600,
  transactions = Infinity,
}: LoadOptions): Promise<number> {
  const connections = await Promise.all(
    Array.from({ length: clients }, async () => {
      const client = new pg.Client({ connectionString: url })
      await client.connect()
      return client
    }),
  )
  const start = performance.now()
  const done = await Promise.all(
    connections.map(async (client) => {
      let count = 0
      for (; count < transactions && performance.now() - start < seconds * 1000; count++)
        for (const [n, text] of statements.entries()) await client.query({ name: `bench-${String(n)}`, text })
      return count
    }),
  )
  const rate = (done.reduce((sum, count) => sum + count, 0) * 1000) / (performance.now() - start)
  await Promise.all(connections.map((client) => client.end()))
  return rate
}
