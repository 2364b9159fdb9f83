import { runConformanceCase } from '@malote/outbox-core/testing'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { createIdempotency, migrateIdempotency } from '../src/index.ts'
import { hostileClientConformance } from '../src/testing/index.ts'
import { countOrders, createOrders } from './callers.ts'
import { entryPoints, type Mounted } from './entry-points.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  await migrateIdempotency(pool)
  await pool.query(createOrders)
})
afterAll(() => database.drop())

describe.each(Object.entries(entryPoints))('hostile clients of %s', (_, mount) => {
  let server: Mounted

  beforeAll(async () => {
    const idempotency = createIdempotency({
      db: pool,
      tenant: () => 'acme',
      subject: () => 'alice',
      pepper: 'a pepper of at least 16 bytes',
    })
    const operation = idempotency.atomic({ operation: 'createOrder' }, async ({ tx }) => {
      const { rows } = await tx.query<{ id: string }>('insert into orders default values returning id')
      return { status: 201, body: { id: rows[0]?.id } }
    })
    server = await mount(operation)
  })
  afterAll(() => server.close())

  it.each(hostileClientConformance)('$name', async (one) => {
    const result = await runConformanceCase(one, { url: server.url, effects: () => countOrders(pool) })
    if (result.status === 'failed') throw result.error
    expect(result.status).toBe('passed')
  })
})
