import { createIdempotency, migrateIdempotency } from '@malote/idempotency'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import type { INestApplication } from '@nestjs/common'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createExpressApp, createFastifyApp } from './nest.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  await migrateIdempotency(pool)
  await pool.query('create table orders (id bigint generated always as identity primary key, asset text not null)')
})
beforeEach(() => pool.query('truncate orders, malote.idempotency_keys restart identity'))
afterAll(() => database.drop())

const idempotency = <Context extends { headers: object }>() =>
  createIdempotency<pg.Pool, Context>({
    db: pool,
    tenant: () => 'acme',
    subject: ({ headers }) => String((headers as Record<string, string>)['x-user']),
    pepper: 'a pepper of at least 16 bytes',
  })

const apps: readonly [string, () => Promise<INestApplication>][] = [
  ['Express', () => createExpressApp(idempotency())],
  ['Fastify', () => createFastifyApp(idempotency())],
]

describe.each(apps)('the Nest snippets on %s', (_, createApp) => {
  let app: INestApplication
  let url: string
  const post = (body: string, headers: Record<string, string> = { 'x-user': 'alice' }) =>
    fetch(`${url}/orders`, {
      method: 'POST',
      headers: { 'idempotency-key': 'a-key-of-sixteen-or-more', 'content-type': 'application/json', ...headers },
      body,
    })
  const count = async () => Number((await pool.query('select count(*) from orders')).rows[0].count)

  beforeAll(async () => {
    app = await createApp()
    await app.listen(0, '127.0.0.1')
    url = await app.getUrl()
  })
  afterAll(() => app.close())

  it('run a request once and replay its response', async () => {
    const [first, retry] = [await post('{"asset":"PETR4"}'), await post('{ "asset": "PETR4" }')]

    expect([first.status, retry.status, retry.headers.get('idempotency-replayed')]).toEqual([202, 202, 'true'])
    expect([await first.text(), await retry.text(), await count()]).toEqual(['{"id":"1"}', '{"id":"1"}', 1])
  })

  it('tell two bodies apart by their bytes', async () => {
    await post('{"asset":"PETR4"}')

    expect((await post('{"asset":"VALE3"}')).status).toBe(422)
  })

  it('ask the guard first, on a retry too', async () => {
    expect((await post('{"asset":"PETR4"}', {})).status).toBe(403)
    await post('{"asset":"PETR4"}')

    expect([(await post('{"asset":"PETR4"}', {})).status, await count()]).toEqual([403, 1])
  })

  it("leave an error of the handler to Nest's exception filters, and nothing behind", async () => {
    const failed = await post('{"asset":"none"}')

    expect([failed.status, await failed.json()]).toEqual([500, { statusCode: 500, message: 'Internal server error' }])
    expect((await pool.query('select 1 from malote.idempotency_keys')).rows).toEqual([])
  })
})
