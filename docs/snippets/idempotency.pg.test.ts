import { readFile } from 'node:fs/promises'
import { migrateIdempotency } from '@malote/idempotency'
import { idempotentRoute } from '@malote/idempotency/fastify'
import { createOutbox, migrate, type ReceivedMessage, type StreamHandler, uuidv7 } from '@malote/outbox-core'
import { eventually } from '@malote/outbox-core/testing'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import fastify from 'fastify'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import {
  applyDeposit,
  createBuyNow,
  createOrderIdempotency,
  createOrderPath,
  createDepositHandler,
  createReportHandler,
  createSellNow,
  mountOrders,
  mountOrdersInBatches,
  pepperOf,
  placeOrder,
  reconcile,
  startCompleting,
  startPurging,
} from './idempotency.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  await migrate(pool)
  await migrateIdempotency(pool)
  await pool.query(`
    create table accounts (id int primary key, balance int not null); insert into accounts values (1, 0);
    create table orders (id uuid primary key default gen_random_uuid(), asset text not null);
    create table fills (asset text not null);
    create table trades (id text primary key, asset text not null)`)
})
afterAll(() => database.drop())

const receivedMessage = (payload: unknown): ReceivedMessage => ({
  id: uuidv7(),
  topic: 'reports',
  type: 'order.filled',
  orderingKey: null,
  headers: {},
  body: new Uint8Array(),
  contentType: 'application/json',
  createdAt: new Date(),
  json: () => payload,
})
const pepper = 'a pepper of at least 16 bytes'
const outbox = createOutbox()
const count = async (what: string) => Number((await pool.query(`select count(*) from ${what}`)).rows[0].count)

describe('the snippets of the idempotency guide', () => {
  it('apply a deposit once, however often it is delivered', async () => {
    const message = { id: 'deposit-1', createdAt: new Date(), amount: 100 }

    await applyDeposit(pool, message)
    await applyDeposit(pool, message)

    expect((await pool.query('select balance from accounts')).rows).toEqual([{ balance: 100 }])
    expect(await count(`malote.messages where topic = 'balances'`)).toBe(1)
  })

  it('apply messages that are delivered together in one transaction', async () => {
    const handle = createReportHandler(pool)
    const deliveries = ['PETR4', 'VALE3'].map((asset) => ({
      message: receivedMessage({ asset }),
      attempt: 1,
      signal: new AbortController().signal,
    }))

    await Promise.all([...deliveries, ...deliveries].map(handle))

    const { rows } = await pool.query('select asset, xmin from fills order by asset')
    expect(rows.map(({ asset }) => asset as string)).toEqual(['PETR4', 'VALE3'])
    expect(rows[0].xmin).toBe(rows[1].xmin)
  })

  it('apply what waits of one account in one transaction', async () => {
    await pool.query('insert into accounts values (2, 0)')
    const { byStream } = createDepositHandler(pool) as StreamHandler
    const deliveries = [10, 20, 12].map((amount) => ({
      message: { ...receivedMessage({ amount }), orderingKey: '2' },
      attempt: 1,
      signal: new AbortController().signal,
    }))

    await byStream.run(deliveries)
    await byStream.run(deliveries)

    expect((await pool.query('select balance from accounts where id = 2')).rows).toEqual([{ balance: 42 }])
    const inItsCommit = 'xmin = (select xmin from accounts where id = 2)'
    expect(await count(`malote.processed_messages where ${inItsCommit}`)).toBe(3)
  })

  it('accept an order once over two retries of the client', async () => {
    const app = fastify()
    const idempotency = createOrderIdempotency(pool, pepper)
    mountOrders(app, idempotency, outbox)
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    const job = startPurging(pool, idempotency)

    const answer = await placeOrder(url, 'PETR4')

    expect([answer.status, await count('orders'), await count(`malote.messages where topic = 'orders'`)]).toEqual([
      202, 1, 1,
    ])
    await job.stop()
    await app.close()
  })

  it('accept many orders in one commit, each once', async () => {
    const app = fastify()
    mountOrdersInBatches(app, createOrderIdempotency(pool, pepper), outbox)
    const post = (at: number) =>
      app.inject({
        method: 'POST',
        url: '/orders',
        headers: { 'idempotency-key': `a-key-of-a-batch-${String(at)}`, 'x-tenant': 'acme', 'x-user': 'alice' },
        payload: { asset: `MANY${String(at)}` },
      })
    const sendAll = () => Promise.all(Array.from({ length: 20 }, (_, at) => post(at)))

    const [firsts, retries] = [await sendAll(), await sendAll()]

    expect(firsts.map(({ statusCode }) => statusCode)).toEqual(Array(20).fill(202))
    expect(retries.map(({ headers }) => headers['location'])).toEqual(firsts.map(({ headers }) => headers['location']))
    const { rows } = await pool.query(`select id, asset, xmin from orders where asset like 'MANY%' order by id`)
    expect([rows.length, new Set(rows.map(({ xmin }) => xmin)).size < 20]).toEqual([20, true])
    const assetOf = new Map(rows.map(({ id, asset }) => [`/orders/${String(id)}`, asset as string]))
    expect(firsts.map(({ headers }) => assetOf.get(String(headers['location'])))).toEqual(
      firsts.map((_, at) => `MANY${String(at)}`),
    )
    await app.close()
  })

  it('replace the pepper without running a request again', async () => {
    const young = 'another pepper of at least 16 bytes'
    const request = {
      method: 'POST' as const,
      url: '/orders',
      headers: { 'idempotency-key': 'a-key-kept-over-a-rotation', 'x-tenant': 'acme', 'x-user': 'alice' },
      payload: { asset: 'ITUB4' },
    }
    const bodies: string[] = []
    for (const one of [pepper, pepperOf('first', pepper, young), pepperOf('second', pepper, young)]) {
      const app = fastify()
      mountOrders(app, createOrderIdempotency(pool, one), outbox)
      bodies.push((await app.inject(request)).body)
      await app.close()
    }

    expect([bodies.length, new Set(bodies).size]).toEqual([3, 1])
    expect(createOrderIdempotency(pool, pepperOf('last', pepper, young))).toBeDefined()
  })

  it('buy at the exchange once, and let an operator find a trade that was lost', async () => {
    const app = fastify()
    const idempotency = createOrderIdempotency(pool, pepper)
    const trades = new Map<string, { id: string }>()
    const exchange = {
      buy: (_asset: string, idempotencyKey: string) => {
        if (!trades.has(idempotencyKey)) trades.set(idempotencyKey, { id: `trade-${String(trades.size + 1)}` })
        return Promise.reject(new Error('the answer was lost'))
      },
    }
    app.post('/buy', idempotentRoute(createBuyNow(idempotency, exchange)))
    const request = {
      method: 'POST' as const,
      url: '/buy',
      headers: { 'idempotency-key': 'a-key-of-sixteen-or-more', 'x-tenant': 'acme', 'x-user': 'alice' },
      payload: { asset: 'VALE3' },
    }
    for (let attempt = 1; attempt <= 5; attempt++) expect((await app.inject(request)).statusCode).toBe(500)
    expect((await app.inject(request)).statusCode).toBe(409)

    await reconcile(idempotency, (key) => Promise.resolve(trades.get(key)))

    expect((await app.inject(request)).json()).toEqual({ id: 'trade-1' })
    expect(trades.size).toBe(1)
    await app.close()
  })

  it('sell at the exchange once, and finish without the client what was interrupted', async () => {
    const app = fastify()
    const sold = new Map<string, { id: string }>()
    let isAway = true
    const exchange = {
      sell: (_asset: string, idempotencyKey: string) => {
        if (!sold.has(idempotencyKey)) sold.set(idempotencyKey, { id: `sale-${String(sold.size + 1)}` })
        return isAway ? Promise.reject(new Error('the answer was lost')) : Promise.resolve(sold.get(idempotencyKey)!)
      },
    }
    const { operation, completer } = createSellNow(createOrderIdempotency(pool, pepper), exchange)
    app.post('/sell', idempotentRoute(operation))
    const request = {
      method: 'POST' as const,
      url: '/sell',
      headers: { 'idempotency-key': 'a-key-of-another-sale', 'x-tenant': 'acme', 'x-user': 'alice' },
      payload: { asset: 'ITSA4' },
    }
    expect((await app.inject(request)).statusCode).toBe(500)
    isAway = false
    const job = startCompleting(completer, (error) => expect.unreachable(String(error)))
    await eventually(async () => expect(await count(`trades where id = 'sale-1'`)).toBe(1))
    await job.stop()

    const retry = await app.inject(request)
    expect([retry.json(), retry.headers['idempotency-replayed'], sold.size]).toEqual([{ id: 'sale-1' }, 'true', 1])
    await app.close()
  })

  it('describe the operation for OpenAPI', () => {
    expect(Object.keys(createOrderPath.post.responses)).toEqual(['202', '400', '409', '412', '413', '422', '503'])
  })

  it('keep a tenant out of the rows of another', async () => {
    await pool.query(await readFile(new URL('idempotency-row-security.sql', import.meta.url), 'utf8'))
    const client = await database.client()
    const visible = async (tenant: string) => {
      await client.query('begin; set local role orders_api')
      await client.query(`select set_config('app.tenant', $1, true)`, [tenant])
      const { rows } = await client.query('select count(*)::int as keys from malote.idempotency_keys')
      await client.query('rollback')
      return rows[0].keys as number
    }

    expect([(await visible('acme')) > 0, await visible('other')]).toEqual([true, 0])
    await pool.query('drop owned by orders_api; drop role orders_api')
  })
})
