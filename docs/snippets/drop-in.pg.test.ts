import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createIdempotency, type Idempotency, migrateIdempotency } from '@malote/idempotency'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import fastify from 'fastify'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createExpressApp, createHonoApp, mountOrders, mountWebhook } from './drop-in.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  await migrateIdempotency(pool)
  await pool.query('create table orders (id bigint generated always as identity primary key, asset text not null)')
  await pool.query('create table settled (payout text not null)')
})
beforeEach(() => pool.query('truncate orders, malote.idempotency_keys restart identity'))
afterAll(() => database.drop())

const idempotency = <Context>(): Idempotency<pg.Pool, Context> =>
  createIdempotency<pg.Pool, Context>({
    db: pool,
    tenant: () => 'acme',
    subject: () => 'alice',
    pepper: 'a pepper of at least 16 bytes',
  })

interface Served {
  readonly post: (headers?: Record<string, string>) => Promise<Response>
  readonly close: () => unknown
}

const request = (headers: Record<string, string> = {}) => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', 'idempotency-key': 'a-key-of-sixteen-or-more', ...headers },
  body: '{"asset":"PETR4"}',
})

const served: Readonly<Record<string, () => Promise<Served>>> = {
  Express: async () => {
    const server = createExpressApp(pool, idempotency()).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/orders`
    return { post: (headers) => fetch(url, request(headers)), close: () => server.close() }
  },
  Fastify: async () => {
    const app = fastify()
    mountOrders(app, idempotency())
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    return { post: (headers) => fetch(`${url}/orders`, request(headers)), close: () => app.close() }
  },
  Hono: () => {
    const app = createHonoApp(idempotency())
    return Promise.resolve({
      post: async (headers) => app.request('http://127.0.0.1/orders', request(headers)),
      close: () => {},
    })
  },
}

describe.each(Object.entries(served))('the snippet of %s', (_, serve) => {
  it('makes a handler that was there before idempotent', async () => {
    const { post, close } = await serve()

    const answers = [await post(), await post()]

    expect(answers.map(({ status }) => status)).toEqual([201, 201])
    expect(await Promise.all(answers.map((answer) => answer.text()))).toEqual(['{"id":"1"}', '{"id":"1"}'])
    expect(answers[1]?.headers.get('idempotency-replayed')).toBe('true')
    expect((await pool.query('select 1 from orders')).rowCount).toBe(1)
    await close()
  })
})

it('the snippet of CORS lets a page of another origin see that an answer is a replay', async () => {
  const { post } = await (served['Hono'] as () => Promise<Served>)()

  const answers = [
    await post({ origin: 'https://shop.example' }),
    await post({ origin: 'https://shop.example' }),
    await post({ origin: 'https://shop.example', 'idempotency-key': 'short' }),
  ]

  expect(answers.map(({ status }) => status)).toEqual([201, 201, 400])
  for (const { headers } of answers)
    expect(headers.get('access-control-expose-headers')).toContain('idempotency-replayed')
})

it('the snippet of the options takes an event of a webhook once, whenever it was sent', async () => {
  const app = fastify()
  mountWebhook(app, idempotency())
  const send = (sentAt: number, payout = 'p-1') =>
    app.inject({
      method: 'POST',
      url: '/webhooks/payouts',
      payload: { event: 'evt_0000000000000001', payout, sentAt },
    })

  const answers = [await send(1), await send(2), await send(3, 'p-2')]

  expect(answers.map(({ statusCode }) => statusCode)).toEqual([204, 204, 422])
  expect((await pool.query('select payout from settled')).rows).toEqual([{ payout: 'p-1' }])
  await app.close()
})
