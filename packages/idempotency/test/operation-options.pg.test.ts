import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createIdempotentClient } from '../src/client.ts'
import { type HttpRequest, type IdempotentOperation, openApiFragments } from '../src/index.ts'
import { alice, type Caller, countOrders, createOrders, idempotencyOn, key, placeOrder, send } from './callers.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
})
beforeEach(() => database.owner.query('truncate orders, malote.idempotency_keys restart identity'))
afterAll(() => database.drop())

const codeOf = ({ text }: { text: string }): unknown => (JSON.parse(text) as { code: unknown }).code

describe('another header for the key', () => {
  const withHeader = async (operation: IdempotentOperation<Caller>, name: string, value: string) => {
    const request: HttpRequest = {
      method: 'POST',
      url: '/v1/orders',
      headers: (asked) => (asked === name ? [value] : []),
      body: Buffer.from('{}'),
    }
    const { status, headers, body } = await operation(request, alice)
    return { status, headers, text: Buffer.from(body ?? []).toString() }
  }

  it('is the only one that is looked at, and what refusals name', async () => {
    const operation = idempotencyOn(pool, { keyHeader: 'X-Request-Key' }).atomic({ operation: 'o' }, placeOrder)

    const [first, retry] = [
      await withHeader(operation, 'x-request-key', key),
      await withHeader(operation, 'x-request-key', key),
    ]
    const missing = await withHeader(operation, 'idempotency-key', key)
    const malformed = await withHeader(operation, 'x-request-key', 'short')

    expect([first.status, retry.headers['idempotency-replayed'], await countOrders(pool)]).toEqual([201, 'true', 1])
    expect([codeOf(missing), codeOf(malformed)]).toEqual(['key-missing', 'key-malformed'])
    for (const { text } of [missing, malformed]) {
      expect(text).toContain('X-Request-Key')
      expect(text).not.toContain('Idempotency-Key')
    }
  })

  it('is one that exists, and is told to clients', async () => {
    expect(() => idempotencyOn(pool, { keyHeader: 'no header' })).toThrow('option "keyHeader" must be')
    expect(openApiFragments({ keyHeader: 'X-Request-Key' }).parameter).toMatchObject({ name: 'X-Request-Key' })

    let sent = new Headers()
    const request = createIdempotentClient({
      keyHeader: 'X-Request-Key',
      fetch: (_, init) => {
        sent = new Headers(init.headers)
        return Promise.resolve(new Response())
      },
    })
    await request('http://127.0.0.1/', { method: 'POST', idempotencyKey: key })
    expect([sent.get('x-request-key'), sent.has('idempotency-key')]).toEqual([`"${key}"`, false])
  })
})

describe('a key from elsewhere', () => {
  it('takes the place of the header', async () => {
    const operation = idempotencyOn(pool).atomic(
      {
        operation: 'webhook',
        key: (_, request) => (JSON.parse(Buffer.from(request.body).toString()) as { event?: string }).event,
      },
      placeOrder,
    )
    const event = { body: { event: 'evt_0000000000000001' } }

    const answers = [
      await send(operation, { ...event, key: null }),
      await send(operation, { ...event, key: 'not looked at' }),
    ]
    const [missing, short] = [await send(operation, { body: {} }), await send(operation, { body: { event: 'evt_1' } })]

    expect(answers.map(({ status, headers }) => [status, headers['idempotency-replayed']])).toEqual([
      [201, undefined],
      [201, 'true'],
    ])
    expect([missing.status, codeOf(missing), short.status, codeOf(short)]).toEqual([
      400,
      'key-missing',
      400,
      'key-malformed',
    ])
    expect(await countOrders(pool)).toBe(1)
  })

  it('must be a text', async () => {
    const operation = idempotencyOn(pool).atomic({ operation: 'o', key: () => 7 as never }, placeOrder)

    await expect(send(operation)).rejects.toMatchObject({ code: 'INVALID_OPTION' })
    expect(await countOrders(pool)).toBe(0)
  })
})

describe('retention of one operation', () => {
  const lifetimes = async () =>
    (
      await pool.query(`
        select operation, round(extract(epoch from expires_at - completed_at))::int as key_s,
          round(extract(epoch from body_expires_at - completed_at))::int as body_s
        from malote.idempotency_keys order by operation`)
    ).rows

  it('is its own, in every mode, and the others keep theirs', async () => {
    const idempotency = idempotencyOn(pool, { retention: { keyMs: 7_200_000, bodyMs: 3_600_000 } })
    const retention = { keyMs: 600_000, bodyMs: 60_000 }
    const requests: readonly IdempotentOperation<Caller>[] = [
      idempotency.atomic({ operation: 'a usual' }, placeOrder),
      idempotency.atomic({ operation: 'atomic', retention }, placeOrder),
      idempotency.batch({ operation: 'batch', retention }, ({ requests: all }) =>
        Promise.resolve(all.map(() => ({ status: 201 }))),
      ),
      idempotency.lease({ operation: 'lease', retention }, () => Promise.resolve({ status: 201 })),
      idempotency.atomic({ operation: 'shorter key', retention: { keyMs: 1_800_000 } }, placeOrder),
    ]
    for (const [at, operation] of requests.entries()) await send(operation, { key: `${key}-${String(at)}` })

    expect(await lifetimes()).toEqual([
      { operation: 'a usual', key_s: 7_200, body_s: 3_600 },
      { operation: 'atomic', key_s: 600, body_s: 60 },
      { operation: 'batch', key_s: 600, body_s: 60 },
      { operation: 'lease', key_s: 600, body_s: 60 },
      { operation: 'shorter key', key_s: 1_800, body_s: 1_800 },
    ])
  })

  it('keeps no body longer than its key', () => {
    const retention = { keyMs: 60_000, bodyMs: 60_001 }

    expect(() => idempotencyOn(pool).atomic({ operation: 'o', retention }, placeOrder)).toThrow('retention.bodyMs')
  })
})

describe('the replay hook', () => {
  it('has the last word on what is sent again, and is not asked the first time', async () => {
    const seen: unknown[] = []
    const operation = idempotencyOn(pool).atomic(
      {
        operation: 'createOrder',
        onReplay: (caller, response, { resourceRef }) => {
          seen.push([caller.subject, response.status, resourceRef])
          return { ...response, headers: { ...response.headers, 'x-token': 'fresh' } }
        },
      },
      placeOrder,
    )

    const [first, retry] = [await send(operation), await send(operation)]

    expect([first.headers['x-token'], retry.headers['x-token']]).toEqual([undefined, 'fresh'])
    expect([retry.text, retry.headers['idempotency-replayed'], seen]).toEqual([
      first.text,
      'true',
      [['alice', 201, '1']],
    ])
  })

  it('fails its own retry only, and does not see a request that may not be replayed', async () => {
    let isBroken = true
    let mayReplay = false
    let calls = 0
    const operation = idempotencyOn(pool).atomic(
      {
        operation: 'createOrder',
        authorizeReplay: () => mayReplay,
        onReplay: (_, response) => {
          calls++
          if (isBroken) throw new Error('no token today')
          return response
        },
      },
      placeOrder,
    )
    await send(operation)

    expect([(await send(operation)).status, calls]).toEqual([403, 0])
    mayReplay = true
    await expect(send(operation)).rejects.toThrow('no token today')
    isBroken = false
    expect([(await send(operation)).status, await countOrders(pool)]).toEqual([201, 1])
  })
})
