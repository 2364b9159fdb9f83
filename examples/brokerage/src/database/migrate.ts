import { migrateIdempotency } from '@malote/idempotency'
import { migrate } from '@malote/outbox-core'
import { type MigrationSet, runMigrations } from '@malote/outbox-core/postgres'
import type pg from 'pg'
import { brokerageSchema } from './database.ts'

/** Schema of the simulated exchange: another company's database that happens to be on the same server. */
export const exchangeSchema = 'b3'

const brokerage: MigrationSet = {
  component: 'brokerage',
  folders: [new URL('../../migrations/', import.meta.url)],
}
const exchange: MigrationSet = {
  component: 'b3',
  folders: [new URL('../b3/migrations/', import.meta.url)],
}

const witness: MigrationSet = {
  component: 'brokerage-witness',
  folders: [new URL('../witness/migrations/', import.meta.url)],
}

/** Brings all schemas up to date. May run any number of times, also in several processes at once. */
export async function migrateAll(pool: pg.Pool): Promise<void> {
  await migrate(pool)
  await migrateIdempotency(pool)
  await runMigrations(pool, brokerage, { schema: brokerageSchema })
  await runMigrations(pool, exchange, { schema: exchangeSchema })
}

/** The tables and the trigger of the witness, after `migrateAll`. The roles write to them when `WITNESS` is 1. */
export async function migrateWitness(pool: pg.Pool): Promise<void> {
  await runMigrations(pool, witness, { schema: brokerageSchema })
}
