import { createIdempotency, migrateIdempotency } from '@malote/idempotency'
import { idempotentRoute } from '@malote/idempotency/fastify'
import { hostileClientConformance } from '@malote/idempotency/testing'
import { runConformanceCase } from '@malote/outbox-core/testing'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import fastify from 'fastify'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { type AnyHarness, clients } from './harnesses.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  await migrateIdempotency(pool)
  await pool.query('create table effects (client text not null)')
})
afterAll(() => database.drop())

describe.each(Object.keys(clients))('hostile clients of a server on %s', (name) => {
  let harness: AnyHarness
  const app = fastify()
  let url: string

  beforeAll(async () => {
    harness = (await clients[name]?.(database)) as AnyHarness
    const idempotency = createIdempotency({
      db: harness.database,
      tenant: () => name,
      subject: () => 'somebody',
      pepper: 'a pepper of thirty-two characters',
    })
    const operation = idempotency.atomic({ operation: 'deposit' }, async ({ tx }) => {
      await harness.database.queryable(tx).query('insert into effects (client) values ($1)', [name])
      return { status: 201, body: { client: name } }
    })
    app.post('/deposits', idempotentRoute(operation))
    url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/deposits`
  })
  afterAll(async () => {
    await app.close()
    await harness.end()
  })

  const effects = async (): Promise<number> =>
    (await pool.query('select 1 from effects where client = $1', [name])).rowCount ?? 0

  // #region kit
  it.each(hostileClientConformance)('$name', async (one) => {
    const result = await runConformanceCase(one, { url, effects })
    if (result.status === 'failed') throw result.error
    expect(result.status).toBe('passed')
  })
  // #endregion
})
