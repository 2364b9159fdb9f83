import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { type HandlerResponse } from '../src/index.ts'
import { countOrders, createOrders, idempotencyOn, key, placeOrder, send, type SendOptions } from './callers.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
})
beforeEach(() => database.truncate('orders, malote.idempotency_keys'))
afterAll(() => database.drop())

const operation = 'createOrder'

describe('the key', () => {
  it('41. quoted and bare is one key', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)

    await send(orders, { key: `"${key}"` })

    expect((await send(orders)).headers).toHaveProperty('idempotency-replayed', 'true')
  })

  it('41. is not looked at on GET; without one an optional route runs each time, still in one transaction', async () => {
    let broken = false
    const orders = idempotencyOn(pool).atomic({ operation, required: false }, async (call) => {
      const response = await placeOrder(call)
      return broken ? { status: 500 } : response
    })

    await send(orders, { key: null })
    await send(orders, { key: null })
    await send(orders, { method: 'GET' })
    broken = true
    await send(orders, { key: null })

    expect(await countOrders(pool)).toBe(3)
    expect((await pool.query('select * from malote.idempotency_keys')).rows).toEqual([])
  })
})

describe('the fingerprint', () => {
  const usual: SendOptions = { url: '/v1/orders?a=1&b=2', body: '{"a":1,"b":[1,2]}' }

  it.each<[string, SendOptions]>([
    ['member order and whitespace', { body: '{ "b": [1, 2],\n "a": 1 }' }],
    ['escapes and number forms', { body: '{"\\u0061":1.0,"b":[1e0,2]}' }],
    ['the order of query parameters', { url: '/v1/orders?b=2&a=1' }],
    ['a charset', { contentType: 'application/json; charset=utf-8' }],
    ['an origin', { url: 'https://api.example.org/v1/orders?a=1&b=2' }],
  ])('42. does not mind %s', async (_, change) => {
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)
    await send(orders, usual)

    expect((await send(orders, { ...usual, ...change })).status).toBe(201)
    expect(await countOrders(pool)).toBe(1)
  })

  it.each<[string, SendOptions]>([
    ['array order', { body: '{"a":1,"b":[2,1]}' }],
    ['null instead of absent', { body: '{"a":1,"b":[1,2],"c":null}' }],
    ['the query', { url: '/v1/orders?a=1&b=3' }],
    ['a path parameter', { url: '/v1/orders/7?a=1&b=2' }],
    ['the method', { method: 'PUT' }],
    ['the media type', { contentType: 'application/merge-patch+json' }],
  ])('42. minds %s', async (_, change) => {
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)
    await send(orders, usual)

    expect((await send(orders, { ...usual, ...change })).status).toBe(422)
    expect(await countOrders(pool)).toBe(1)
  })

  it.each(['{"amount":9007199254740993}', '{"amount":1,"amount":2}', '{"amount":', '{"a":"\\ud800"}'])(
    '42. refuses %s, which receivers may read differently',
    async (body) => {
      const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)

      const answer = await send(orders, { body })

      expect([answer.status, await countOrders(pool)]).toEqual([400, 0])
    },
  )

  it('42. compares other types by their bytes, and multipart bodies without their boundary', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)
    const form = (boundary: string, value: string): SendOptions => ({
      key: 'a-multipart-key-0123',
      contentType: `multipart/form-data; boundary=${boundary}`,
      body: `--${boundary}\r\ncontent-disposition: form-data; name="a"\r\n\r\n${value}\r\n--${boundary}--\r\n`,
    })

    const plain = [
      await send(orders, { contentType: 'text/plain', body: 'a b' }),
      await send(orders, { contentType: 'text/plain', body: 'a  b' }),
    ]
    const forms = [
      await send(orders, form('one', '1')),
      await send(orders, form('two', '1')),
      await send(orders, form('three', '2')),
    ]

    expect(plain.map(({ status }) => status)).toEqual([201, 422])
    expect(forms.map(({ status }) => status)).toEqual([201, 201, 422])
  })

  it('42. tells API versions apart, and compares raw bytes when asked', async () => {
    const idem = idempotencyOn(pool)
    const [v1, v2, raw] = [{ apiVersion: '1' }, { apiVersion: '2' }, { compareBody: 'raw' as const }].map((change) =>
      idem.atomic({ operation, ...change }, placeOrder),
    )

    expect([await send(v1!), await send(v2!)].map(({ status }) => status)).toEqual([201, 422])
    const rawKey = { key: 'a-raw-key-0123456789' }
    expect(
      [await send(raw!, { ...rawKey, body: '{"a":1}' }), await send(raw!, { ...rawKey, body: '{"a": 1}' })].map(
        ({ status }) => status,
      ),
    ).toEqual([201, 422])
  })
})

describe('a replay', () => {
  const answering = (response: HandlerResponse, change = {}) =>
    idempotencyOn(pool, change).atomic({ operation }, () => Promise.resolve(response))

  it('43. carries allowed headers only, and the bytes as they were', async () => {
    const headers = {
      Location: '/orders/1',
      ETag: '"1"',
      'Set-Cookie': 'a=1',
      traceparent: '00-1',
      date: 'today',
      'X-Request-Id': '1',
      'X-Total': '5',
    }
    const orders = answering(
      { status: 200, headers, body: new Uint8Array([0, 255, 10]) },
      { storedHeaders: ['X-Total'] },
    )

    const [first, second] = [await send(orders), await send(orders)]

    expect(first.headers).toMatchObject({ 'set-cookie': 'a=1', 'x-request-id': '1' })
    expect(second.headers).toEqual({
      location: '/orders/1',
      etag: '"1"',
      'x-total': '5',
      'content-type': 'application/octet-stream',
      'idempotency-replayed': 'true',
    })
    expect(second.text).toBe(first.text)
  })

  it.each([204, 304])('43. of a %s has no body', async (status) => {
    const orders = answering({ status })

    expect([await send(orders), await send(orders)]).toMatchObject([
      { status, text: '' },
      { status, text: '' },
    ])
  })

  it('43. is marked by the header the application chose', async () => {
    const orders = answering({ status: 200 }, { replayHeader: 'Idempotent-Replayed' })
    await send(orders)

    expect((await send(orders)).headers).toEqual({ 'idempotent-replayed': 'true' })
  })

  it.each([[{ status: 200, body: new ReadableStream() }], [{ status: 99 }], [{ status: 200, body: 1n }], [undefined]])(
    '43. what cannot be replayed is an error before anything is committed (%#)',
    async (response) => {
      await expect(send(answering(response as HandlerResponse))).rejects.toMatchObject({ code: 'INVALID_RESPONSE' })
    },
  )
})
