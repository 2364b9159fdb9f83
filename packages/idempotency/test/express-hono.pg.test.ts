import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import express, { type Request as ExpressRequest } from 'express'
import { type Context, Hono } from 'hono'
import { compress } from 'hono/compress'
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { idempotentHandler as expressHandler, keepRawBody } from '../src/frameworks/express.ts'
import { idempotentHandler as honoHandler } from '../src/frameworks/hono.ts'
import { createIdempotency, idempotentFetch } from '../src/index.ts'
import { countOrders, createOrders, key } from './callers.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool
let close: (() => Promise<unknown>) | undefined

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
})
beforeEach(() => database.truncate('orders, malote.idempotency_keys'))
afterEach(async () => {
  await close?.()
  close = undefined
})
afterAll(() => database.drop())

const pepper = 'a pepper of at least 16 bytes'
const place = async (tx: pg.ClientBase, amount: number) => {
  await tx.query('insert into orders (amount) values ($1)', [amount])
  return {
    status: 201,
    headers: { location: '/orders/1', 'set-cookie': 'a=1' },
    body: { amount, note: 'x'.repeat(2000) },
  }
}

/** Each server under test: its URL. */
const servers: Readonly<Record<string, () => Promise<string>>> = {
  Express: async () => {
    const idem = createIdempotency({
      db: pool,
      tenant: () => 'acme',
      subject: (request: ExpressRequest) => request.get('authorization') ?? '',
      pepper,
    })
    const app = express()
    app.use(express.json({ verify: keepRawBody }))
    app.post(
      '/orders',
      expressHandler(idem.atomic({ operation: 'createOrder' }, ({ tx, request }) => place(tx, request.body.amount))),
    )
    app.use(
      (_error: unknown, _request: ExpressRequest, response: express.Response, _next: express.NextFunction) =>
        void response.status(500).end(),
    )
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    close = async () => new Promise((resolve) => server.close(resolve))
    return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`
  },
  Hono: async () => {
    const idem = createIdempotency({
      db: pool,
      tenant: () => 'acme',
      subject: (context: Context) => context.req.header('authorization') ?? '',
      pepper,
    })
    const app = new Hono()
    app.use(compress())
    const operation = idem.atomic({ operation: 'createOrder' }, async ({ tx, request }) =>
      place(tx, (await request.req.json()).amount),
    )
    app.post('/orders', honoHandler(operation))
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
    if (!server.listening) await once(server, 'listening')
    close = async () => new Promise((resolve) => server.close(resolve))
    return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`
  },
  'a fetch-style server': async () => {
    const idem = createIdempotency({
      db: pool,
      tenant: () => 'acme',
      subject: (request: Request) => request.headers.get('authorization') ?? '',
      pepper,
    })
    const operation = idem.atomic({ operation: 'createOrder' }, async ({ tx, request }) =>
      place(tx, ((await request.json()) as { amount: number }).amount),
    )
    const server = serve({ fetch: idempotentFetch(operation), port: 0, hostname: '127.0.0.1' })
    if (!server.listening) await once(server, 'listening')
    close = async () => new Promise((resolve) => server.close(resolve))
    return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`
  },
}

describe.each(Object.keys(servers))('%s', (name) => {
  const started = () => (servers[name] as () => Promise<string>)()
  const post = (url: string, body: string, headers: Record<string, string> = {}) =>
    fetch(`${url}/orders`, {
      method: 'POST',
      headers: {
        authorization: 'alice',
        'idempotency-key': key,
        'content-type': 'application/json',
        connection: 'close',
        ...headers,
      },
      body,
    })

  it('43. replays status, allowed headers and bytes, whatever the content coding; no cookie', async () => {
    const url = await started()

    const first = await post(url, '{"amount":1}', { 'accept-encoding': 'gzip' })
    const second = await post(url, '{ "amount": 1 }', { 'accept-encoding': 'identity' })

    expect([first.status, second.status]).toEqual([201, 201])
    expect(await second.text()).toBe(await first.text())
    expect(second.headers.get('idempotency-replayed')).toBe('true')
    expect([second.headers.get('location'), second.headers.get('set-cookie')]).toEqual(['/orders/1', null])
    expect(await countOrders(pool)).toBe(1)
  })

  it('answers a mismatch with 422 and a key sent twice with 400', async () => {
    const url = await started()
    await post(url, '{"amount":1}')

    expect((await post(url, '{"amount":2}')).status).toBe(422)
    expect((await post(url, '{"amount":1}', { 'idempotency-key': `${key}, ${key}` })).status).toBe(400)
  })

  it('1. 50 at once make one order', async () => {
    const url = await started()

    const answers = await Promise.all(Array.from({ length: 50 }, () => post(url, '{"amount":1}')))

    expect(answers.every(({ status }) => status === 201 || status === 409)).toBe(true)
    expect(await countOrders(pool)).toBe(1)
  })
})

describe('Express without keepRawBody', () => {
  it('fails with an explanation instead of comparing what a parser made of the body', async () => {
    const idem = createIdempotency({ db: pool, tenant: () => 'acme', subject: () => 'alice', pepper })
    const app = express()
    app.use(express.json())
    app.post(
      '/orders',
      expressHandler(idem.atomic({ operation: 'createOrder' }, () => Promise.resolve({ status: 201 }))),
    )
    const errors: unknown[] = []
    app.use((error: unknown, _request: ExpressRequest, response: express.Response, _next: express.NextFunction) => {
      errors.push(error)
      response.status(500).end()
    })
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    close = async () => new Promise((resolve) => server.close(resolve))

    const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/orders`
    const answer = await fetch(url, {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json', 'idempotency-key': key, connection: 'close' },
    })

    expect([answer.status, errors]).toMatchObject([500, [{ code: 'INVALID_OPTION' }]])
  })
})
