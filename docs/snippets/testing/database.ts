import { migrateIdempotency } from '@malote/idempotency'
import { migrate } from '@malote/outbox-core'
import { createTestDatabase } from '@malote/testing/database'
import type pg from 'pg'
import { afterAll, inject } from 'vitest'

const database = await createTestDatabase(inject('postgresUrl'))
afterAll(() => database.drop())

/** A pool on an empty database of this file's own, with all tables made. */
export const pool: pg.Pool = database.pool({ max: 20 })
await migrate(pool)
await migrateIdempotency(pool)
await pool.query('create table orders (id text primary key, cents int); create table sales (order_id text, cents int)')
