import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { idempotentRoute } from '../src/frameworks/fastify.ts'
import { createIdempotency } from '../src/index.ts'
import { countOrders, createOrders, key } from './callers.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool
let app: FastifyInstance

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
})
beforeEach(async () => {
  await database.truncate('orders, malote.idempotency_keys')
  app = fastify()
  app.addHook('onRequest', async (request, reply) => {
    if (request.headers.authorization === undefined) await reply.code(401).send({ error: 'who are you?' })
  })
})
afterEach(() => app.close())
afterAll(() => database.drop())

const idempotency = () =>
  createIdempotency({
    db: pool,
    tenant: () => 'acme',
    subject: (request: FastifyRequest) => request.headers.authorization as string,
    pepper: 'a pepper of at least 16 bytes',
  })

const schema = {
  body: {
    type: 'object',
    required: ['amount'],
    properties: { amount: { type: 'integer' }, note: { type: 'string', default: 'none' } },
  },
}

function mountOrders(answer: (body: unknown) => unknown = (body) => body): void {
  const place = idempotency().atomic({ operation: 'createOrder' }, async ({ tx, request }) => {
    const { rows } = await tx.query('insert into orders default values returning id')
    return { status: 201, headers: { Location: `/orders/${String(rows[0].id)}` }, body: answer(request.body) }
  })
  app.post('/orders', { schema, ...idempotentRoute(place) })
}

const usualHeaders = { authorization: 'alice', 'idempotency-key': key, 'content-type': 'application/json' }
const post = (payload: unknown, headers: Record<string, string> = usualHeaders) =>
  app.inject({
    method: 'POST',
    url: '/orders',
    headers,
    payload: typeof payload === 'string' ? payload : JSON.stringify(payload),
  })

describe('a Fastify route', () => {
  it('runs once and replays status, headers and bytes', async () => {
    mountOrders()

    const [first, second] = [await post({ amount: 1 }), await post({ amount: 1 })]

    expect([first.statusCode, second.statusCode]).toEqual([201, 201])
    expect(second.rawPayload).toEqual(first.rawPayload)
    expect(second.headers['location']).toBe(first.headers['location'])
    expect(second.headers['idempotency-replayed']).toBe('true')
    expect(await countOrders(pool)).toBe(1)
  })

  it('42. coercion and defaults of the schema do not change the fingerprint, a different value does', async () => {
    mountOrders()

    const coerced = await post('{"amount":"5"}')
    const retry = await post('{ "amount" : "5" }')
    const other = await post('{"amount":5}')

    expect(coerced.json()).toEqual({ amount: 5, note: 'none' })
    expect([retry.statusCode, other.statusCode]).toEqual([201, 422])
  })

  it('401 and schema errors come before the store is asked', async () => {
    mountOrders()

    expect((await post({ amount: 1 }, { 'idempotency-key': key, 'content-type': 'application/json' })).statusCode).toBe(
      401,
    )
    expect((await post({ amount: 'many' })).statusCode).toBe(400)
    expect((await pool.query('select * from malote.idempotency_keys')).rows).toEqual([])
    expect((await post({ amount: 1 })).statusCode).toBe(201)
  })

  it('a missing key is a problem with a link', async () => {
    mountOrders()

    const answer = await post({ amount: 1 }, { authorization: 'alice', 'content-type': 'application/json' })

    expect(answer.statusCode).toBe(400)
    expect(answer.headers['content-type']).toBe('application/problem+json')
    expect(answer.json()).toMatchObject({ status: 400, code: 'key-missing' })
  })

  it('a body over the limit and a wrong Content-Length are still refused by Fastify', async () => {
    app = fastify({ bodyLimit: 100 })
    mountOrders()

    expect((await post({ amount: 1, note: 'x'.repeat(200) })).statusCode).toBe(413)
    expect((await post({ amount: 1 }, { ...usualHeaders, 'content-length': '5' })).statusCode).toBe(400)
  })

  it('an error of the handler reaches the error handler and stores nothing', async () => {
    mountOrders(() => {
      throw Object.assign(new Error('out of stock'), { statusCode: 418 })
    })

    expect((await post({ amount: 1 })).statusCode).toBe(418)
    expect(await countOrders(pool)).toBe(0)
  })

  it('without its preParsing hook refuses a body, instead of taking another one for a retry', async () => {
    const place = idempotency().atomic({ operation: 'createOrder' }, () => Promise.resolve({ status: 201 }))
    app.post('/orders', { handler: idempotentRoute(place).handler })

    expect((await post({ amount: 1 })).json()).toMatchObject({ statusCode: 500, code: 'INVALID_OPTION' })
    expect(
      (await app.inject({ method: 'POST', url: '/orders', headers: { authorization: 'a', 'idempotency-key': key } }))
        .statusCode,
    ).toBe(201)
  })

  it('1. 50 retries at once over real sockets make one order', async () => {
    mountOrders()
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    const request = () =>
      fetch(`${url}/orders`, {
        method: 'POST',
        headers: { authorization: 'alice', 'idempotency-key': `"${key}"`, 'content-type': 'application/json' },
        body: '{"amount":1}',
      })

    const statuses = (await Promise.all(Array.from({ length: 50 }, request))).map(({ status }) => status)

    expect(statuses.every((status) => status === 201 || status === 409)).toBe(true)
    expect(await countOrders(pool)).toBe(1)
  })
})
