// The database at DATABASE_URL, or one in a PostgreSQL of this service's own (embedded-postgres.js).
import { migrateIdempotency } from '@malote/idempotency'
import { migrate } from '@malote/outbox-core'
import pg from 'pg'
import { startEmbeddedPostgres } from './embedded-postgres.js'

/** Where the database is: what DATABASE_URL says, or that of a PostgreSQL that starts now and ends with this process. */
export const findDatabase = async () => process.env.DATABASE_URL ?? (await startEmbeddedPostgres())

/** @returns {Promise<{ pool: pg.Pool, relayPool: pg.Pool, stop(): Promise<void> }>} the database with all its tables */
export async function openDatabase(connectionString) {
  const pool = new pg.Pool({ connectionString })
  // A relay keeps three connections for as long as it runs, so it has a pool of its own.
  const relayPool = new pg.Pool({ connectionString, max: 3 })
  for (const one of [pool, relayPool])
    one.on('error', (error) => {
      if (!one.ending) console.error(`database: ${error.message}`)
    })
  await migrate(pool)
  await migrateIdempotency(pool)
  await pool.query('create table if not exists orders (id uuid primary key, cents int not null)')
  await pool.query('create table if not exists sales (order_id uuid primary key, cents int not null)')
  return {
    pool,
    relayPool,
    stop: async () => {
      await Promise.all([pool.end(), relayPool.end()])
    },
  }
}
