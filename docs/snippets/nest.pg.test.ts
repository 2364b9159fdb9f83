import { migrateIdempotency } from '@malote/idempotency'
import { migrate } from '@malote/outbox-core'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import type { INestApplication } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { AppModule, createApp } from './nest.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  await migrate(pool)
  await migrateIdempotency(pool)
  await pool.query(
    'create table orders (id bigint generated always as identity primary key, asset text not null, quantity int not null)',
  )
  const { hostname, port, username, password, pathname } = new URL(database.url)
  // What a `new Pool()` of an application reads.
  Object.assign(process.env, {
    PGHOST: hostname,
    PGPORT: port,
    PGUSER: username,
    PGPASSWORD: password,
    PGDATABASE: pathname.slice(1),
  })
})
beforeEach(() => pool.query('truncate orders, malote.messages, malote.idempotency_keys restart identity'))
afterAll(() => database.drop())

const apps: readonly [string, () => Promise<INestApplication>][] = [
  ['Express', createApp],
  ['Fastify', () => NestFactory.create(AppModule, new FastifyAdapter(), { rawBody: true, logger: false })],
]

describe.each(apps)('the Nest snippets on %s', (_, create) => {
  let app: INestApplication
  let url: string
  const post = (body: string, headers: Record<string, string> = { 'x-user': 'alice' }) =>
    fetch(`${url}/orders`, {
      method: 'POST',
      headers: { 'idempotency-key': 'a-key-of-sixteen-or-more', 'content-type': 'application/json', ...headers },
      body,
    })
  const count = async (table = 'orders') => Number((await pool.query(`select count(*) from ${table}`)).rows[0].count)

  beforeAll(async () => {
    app = await create()
    await app.listen(0, '127.0.0.1')
    url = await app.getUrl()
  })
  afterAll(() => app.close())

  it('run a request once, with its message, and replay its response', async () => {
    const order = '{"asset":"PETR4","quantity":100}'
    const [first, retry] = [await post(order), await post(order.replace(':', ' : '))]

    expect([first.status, retry.status, retry.headers.get('idempotency-replayed')]).toEqual([201, 201, 'true'])
    expect([await first.text(), await retry.text()]).toEqual(['{"id":"1"}', '{"id":"1"}'])
    expect([await count(), await count('malote.messages')]).toEqual([1, 1])
  })

  it('tell two bodies apart by their bytes', async () => {
    await post('{"asset":"PETR4","quantity":100}')

    expect((await post('{"asset":"PETR4","quantity":101}')).status).toBe(422)
  })

  it('ask the guard first, on a retry too', async () => {
    const order = '{"asset":"PETR4","quantity":100}'
    expect((await post(order, {})).status).toBe(403)
    await post(order)

    expect([(await post(order, {})).status, await count()]).toEqual([403, 1])
  })

  it('store what a service throws, and keep nothing of its effects', async () => {
    const order = '{"asset":"PETR4","quantity":1001}'
    const [first, retry] = [await post(order), await post(order)]

    expect([first.status, retry.status, retry.headers.get('idempotency-replayed')]).toEqual([409, 409, 'true'])
    expect(await first.text()).toBe(await retry.text())
    expect(await count()).toBe(0)
  })

  it('answer what a pipe refuses in the same way again', async () => {
    const order = '{"asset":"PETR4","quantity":"many"}'
    const [first, retry] = [await post(order), await post(order)]

    expect([first.status, retry.status, await first.text()]).toEqual([400, 400, await retry.text()])
  })
})
