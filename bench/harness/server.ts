import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { type PostgresService, startPostgres } from '@malote/testing/services/postgres'
import type pg from 'pg'

export interface BenchDatabase extends TestDatabase {
  /** Two connections for filling and looking; contestants bring their own. */
  readonly admin: pg.Pool
}

/** A durable PostgreSQL of our own, started with the first database asked for. */
export interface BenchServer {
  /** An empty database, dropped by `close` at the latest. */
  database(): Promise<BenchDatabase>
  /** Process id of the server, for its CPU time. */
  pid(): Promise<number>
  close(): Promise<void>
}

/** Printed with the results. Durability is the default and stays on; the rest keeps checkpoints out of short runs. */
export const serverSettings: Readonly<Record<string, string | number>> = {
  shared_buffers: '512MB',
  max_wal_size: '8GB',
  checkpoint_timeout: '30min',
  max_connections: 200,
}

export function createBenchServer(): BenchServer {
  let service: Promise<PostgresService> | null = null
  const open = new Set<BenchDatabase>()
  const start = (): Promise<PostgresService> => (service ??= startOurs())
  return {
    database: async () => {
      const created = await createTestDatabase((await start()).url)
      const drop = async (): Promise<void> => {
        if (open.delete(database)) await created.drop()
      }
      const database: BenchDatabase = { ...created, admin: created.pool({ max: 2 }), drop }
      open.add(database)
      return database
    },
    pid: async () => (await start()).pid,
    close: async () => {
      for (const database of open) await database.drop()
      await (await service)?.stop()
    },
  }
}

/** It runs in a process group of its own: whatever ends us has to end it too. */
async function startOurs(): Promise<PostgresService> {
  const service = await startPostgres({ durable: true, settings: serverSettings })
  process.once('exit', () => {
    try {
      process.kill(service.pid, 'SIGINT')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // ESRCH: closed already.
    }
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))
  return service
}
