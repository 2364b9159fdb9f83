import { createConsole } from '@malote/outbox-core/console'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { scaled } from '@malote/testing/slowness'
import type { FastifyInstance } from 'fastify'
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { createPool, type Database } from '../src/database/database.ts'
import { rebuildViews } from '../src/listeners/project-order.ts'
import { createDemoApi } from './demo-api.ts'

let server: TestDatabase
let pool: pg.Pool
let api: FastifyInstance
let db: Database

beforeAll(async () => {
  server = await createTestDatabase(inject('postgresUrl'))
  pool = createPool(server.url)
  const outboxConsole = createConsole({ pool, basePath: '/malote', access: 'loopback', allowActions: true })
  const made = await createDemoApi(pool, { outboxConsole })
  api = made.api
  db = made.db
})
afterAll(async () => {
  await api.close()
  await pool.end()
  await server.drop()
})

let keys = 0
const newKey = () => `test-key-${String(++keys).padStart(12, '0')}`
const order = { amount: 1000, asset: 'PETR4', type: 'BUY' }
const bearer = (account: string) => ({ authorization: `Bearer demo-token-${account}` })

function post(body: unknown, headers: Record<string, string> = {}, account = 'acc-001') {
  return api.inject({
    method: 'POST',
    url: '/api/orders',
    headers: { 'content-type': 'application/json', 'idempotency-key': newKey(), ...bearer(account), ...headers },
    payload: typeof body === 'string' ? body : JSON.stringify(body),
  })
}
const call = (method: 'GET' | 'DELETE', url: string, account = 'acc-001') =>
  api.inject({ method, url, headers: bearer(account) })
const count = async (table: string) => (await pool.query(`select count(*) from ${table}`)).rows[0].count
const everything = async () => [
  await count('orders'),
  await count('ledger_movements'),
  await count('malote.messages'),
  await count('malote.idempotency_keys'),
]

describe('retries', () => {
  it('50 of one order at the same time create one order', async () => {
    const before = await everything()
    const headers = { 'idempotency-key': newKey() }

    const responses = await Promise.all(Array.from({ length: 50 }, () => post(order, headers)))
    const afterwards = await post(order, headers)

    const statuses = responses.map((response) => response.statusCode)
    expect(statuses.every((status) => status === 202 || status === 409)).toBe(true)
    expect(statuses.filter((status) => status === 202).length).toBeGreaterThanOrEqual(1)
    expect(afterwards.headers['idempotency-replayed']).toBe('true')
    const accepted = [...responses, afterwards].filter((response) => response.statusCode === 202)
    expect(new Set(accepted.map((response) => response.json().id)).size).toBe(1)
    expect((await everything()).map((now, index) => now - (before[index] ?? 0))).toEqual([1, 1, 1, 1])
  })
})

describe('placing an order', () => {
  it('answers 202 and commits order, reservation, messages and key together', async () => {
    const before = await everything()

    const response = await post(order)

    expect(response.statusCode).toBe(202)
    expect(response.json()).toMatchObject({ status: 'BALANCE_RESERVED', ...order })
    expect(response.headers.location).toBe(`/api/orders/${response.json().id}`)
    expect((await everything()).map((now, index) => now - (before[index] ?? 0))).toEqual([1, 1, 1, 1])
  })

  it('again under the same key places nothing more and says the same', async () => {
    const headers = { 'idempotency-key': newKey() }
    const first = await post(order, headers)
    const before = await everything()

    const second = await post({ type: 'BUY', asset: 'PETR4', amount: 1000.0 }, headers)

    expect([second.statusCode, second.body]).toEqual([202, first.body])
    expect(second.headers['idempotency-replayed']).toBe('true')
    expect(await everything()).toEqual(before)
  })

  it('many times at once under one key places one', async () => {
    const before = await count('orders')
    const headers = { 'idempotency-key': newKey() }

    const responses = await Promise.all(Array.from({ length: 8 }, () => post(order, headers)))

    expect((await count('orders')) - before).toBe(1)
    expect(responses.filter(({ statusCode }) => statusCode !== 202 && statusCode !== 409)).toEqual([])
  })

  it('placed at once on one account are accepted as far as its money goes, and the others refused for good', async () => {
    const keys = Array.from({ length: 12 }, newKey)
    const poor = { amount: 30, asset: 'PETR4', type: 'BUY' }
    const send = (key: string) => post(poor, { 'idempotency-key': key }, 'acc-011')

    const first = await Promise.all(keys.map(send))
    const again = await Promise.all(keys.map(send))

    expect(first.map(({ statusCode }) => statusCode).toSorted((a, b) => a - b)).toEqual([
      ...Array.from({ length: 3 }, () => 202),
      ...Array.from({ length: 9 }, () => 402),
    ])
    expect(again.map(({ body }) => body)).toEqual(first.map(({ body }) => body))
    expect(again.every(({ headers }) => headers['idempotency-replayed'] === 'true')).toBe(true)
  })

  it('under the same key with another body is refused with 422', async () => {
    const headers = { 'idempotency-key': newKey() }
    await post(order, headers)

    const response = await post({ ...order, amount: 1001 }, headers)

    expect(response.statusCode).toBe(422)
    expect(response.headers['content-type']).toContain('application/problem+json')
  })

  it('under another customer’s key is another order', async () => {
    const headers = { 'idempotency-key': newKey() }
    const [mine, theirs] = [await post(order, headers), await post(order, headers, 'acc-002')]

    expect(theirs.statusCode).toBe(202)
    expect(theirs.json().id).not.toBe(mine.json().id)
  })

  it.each([
    ['no balance', { ...order, amount: 20_000 }, 'acc-011', 402, 'INSUFFICIENT_BALANCE'],
    ['nothing to sell', { ...order, type: 'SELL' }, 'acc-011', 402, 'INSUFFICIENT_BALANCE'],
    ['an amount above the limit', { ...order, amount: 60_000 }, 'acc-001', 422, 'ANTIFRAUD_REFUSED'],
  ])('with %s is refused, remembered, and leaves no trace in the books', async (_why, body, account, status, code) => {
    const headers = { 'idempotency-key': newKey() }
    const before = (await everything()).slice(0, 3)

    const responses = [await post(body, headers, account), await post(body, headers, account)]

    for (const response of responses) {
      expect(response.statusCode).toBe(status)
      expect(response.headers['content-type']).toContain('application/problem+json')
      expect(response.json()).toMatchObject({ status, code })
    }
    expect(responses[1]?.headers['idempotency-replayed']).toBe('true')
    expect((await everything()).slice(0, 3)).toEqual(before)
  })

  it.each([
    ['{"amount": 10', 400],
    ['', 400],
    [{ ...order, amount: 0.001 }, 400],
    [{ ...order, extra: 1 }, 400],
    ['{"amount": 1000.00000000000000001, "asset": "PETR4", "type": "BUY"}', 400],
    ['x'.repeat(20_000), 413],
  ])('with the body %j is refused with %i as problem+json and not remembered', async (body, status) => {
    const before = await everything()

    const response = await post(body)

    expect(response.statusCode).toBe(status)
    expect(response.headers['content-type']).toContain('application/problem+json')
    expect(await everything()).toEqual(before)
  })

  it('without a key, a token, or as something else than JSON is refused', async () => {
    const withoutKey = await post(order, { 'idempotency-key': '' })
    const withoutToken = await post(order, { authorization: '' })
    const wrongToken = await post(order, { authorization: 'Bearer nobody' })
    const asText = await post(order, { 'content-type': 'text/plain' })

    expect([withoutKey, withoutToken, wrongToken, asText].map(({ statusCode }) => statusCode)).toEqual([
      400, 401, 401, 415,
    ])
    for (const response of [withoutKey, withoutToken, wrongToken, asText])
      expect(response.headers['content-type']).toContain('application/problem+json')
  })
})

describe('an order', () => {
  it('is shown to its customer and to nobody else', async () => {
    const { id } = (await post(order)).json()

    expect((await call('GET', `/api/orders/${id}`)).json()).toMatchObject({
      id,
      status: 'BALANCE_RESERVED',
      reason: null,
      ...order,
    })
    expect((await call('GET', `/api/orders/${id}`, 'acc-002')).statusCode).toBe(404)
    expect((await call('DELETE', `/api/orders/${id}`, 'acc-002')).statusCode).toBe(404)
    expect((await call('GET', '/api/orders/garbage')).statusCode).toBe(404)
  })

  it('is listed newest first, page by page', async () => {
    const ids: string[] = []
    for (let n = 0; n < 3; n++) ids.unshift((await post(order, {}, 'acc-003')).json().id)

    await rebuildViews(db)
    const first = (await call('GET', '/api/orders?limit=2', 'acc-003')).json().orders
    const second = (await call('GET', `/api/orders?limit=2&before=${first[1].id}`, 'acc-003')).json().orders

    expect([...first, ...second].map(({ id }) => id)).toEqual(ids)
    expect((await call('GET', '/api/orders?limit=0')).statusCode).toBe(400)
  })

  it('can be cancelled until it is sent, and its reservation is free again', async () => {
    const balance = async () => (await call('GET', '/api/balance', 'acc-004')).json()
    const before = await balance()
    const { id } = (await post(order, {}, 'acc-004')).json()
    const reserved = await balance()

    const cancelled = await call('DELETE', `/api/orders/${id}`, 'acc-004')
    const after = await balance()
    const sent = (await post(order, {}, 'acc-004')).json()
    await pool.query(`update orders set state = 'SENT_TO_B3' where order_id = $1`, [sent.id])
    const tooLate = await call('DELETE', `/api/orders/${sent.id}`, 'acc-004')

    expect(reserved.cash).toEqual({ available: before.cash.available - 1000, reserved: 1000 })
    expect(cancelled.json()).toMatchObject({ id, status: 'CANCELLED' })
    expect(after.cash).toEqual(before.cash)
    expect([tooLate.statusCode, tooLate.json().code]).toEqual([409, 'TOO_LATE_TO_CANCEL'])
  })
})

describe("the library's console", () => {
  it('stands below /malote, shows the outbox, and decides for the page only', async () => {
    const headers = { host: 'localhost', origin: 'http://localhost', 'content-type': 'application/json' }
    const payload = { topic: 'orders.accepted', operator: 'ana', reason: 'under review' }
    const act = (action: string, given = headers) =>
      api.inject({ method: 'POST', url: `/malote/api/actions/${action}`, headers: given, payload })

    expect((await api.inject({ url: '/malote/', headers })).body).toContain('console.js')
    expect((await api.inject({ url: '/malote', headers })).headers['location']).toBe('malote/')
    expect((await act('pause-topic')).json()).toEqual({ done: 1, wanted: 1 })
    expect((await api.inject({ url: '/malote/api/view', headers })).json()).toMatchObject({
      pausedTopics: [{ topic: 'orders.accepted', pausedBy: 'ana' }],
    })
    expect((await act('resume-topic')).json()).toEqual({ done: 1, wanted: 1 })
    expect((await act('pause-topic', { ...headers, origin: 'https://evil.example.com' })).statusCode).toBe(403)
    expect((await api.inject({ url: '/malote/', headers: { host: 'evil.example.com' } })).statusCode).toBe(403)
  })
})

describe('a client that sends half a body', () => {
  it('is answered 408 and cut off when its time is up, and places nothing', async () => {
    const requestTimeoutMs = 300
    const { api: hurried } = await createDemoApi(pool, { requestTimeoutMs })
    await hurried.listen({ host: '127.0.0.1', port: 0 })
    const before = await everything()
    const socket = connect((hurried.server.address() as AddressInfo).port, '127.0.0.1')
    socket.setTimeout(scaled(10_000), () => socket.destroy(new Error('nobody cut the connection')))
    try {
      await once(socket, 'connect')
      const beganMs = performance.now()
      const { authorization } = bearer('acc-001')
      const body = JSON.stringify(order)
      socket.write(
        `POST /api/orders HTTP/1.1\r\nHost: brokerage\r\nAuthorization: ${authorization}\r\nIdempotency-Key: ${newKey()}\r\n` +
          `Content-Type: application/json\r\nContent-Length: ${String(body.length)}\r\n\r\n${body.slice(0, 10)}`,
      )

      const answer = await text(socket)

      const tookMs = performance.now() - beganMs
      expect(answer).toMatch(/^HTTP\/1\.1 408 /)
      expect(tookMs).toBeGreaterThanOrEqual(requestTimeoutMs)
      // Connections are looked at once a second.
      expect(tookMs).toBeLessThan(scaled(requestTimeoutMs + 2_000))
      expect(await everything()).toEqual(before)
    } finally {
      socket.destroy()
      await hurried.close()
    }
  })
})
