import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { uuidv7 } from '../src/client.ts'
import { startRetention } from '../src/index.ts'
import { alice, bob, countOrders, createOrders, idempotencyOn, placeOrder, send } from './callers.ts'
import { gate } from './gates.ts'
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
const dayMs = 86_400_000
const codeOf = (answer: { text: string }) => (JSON.parse(answer.text) as { code: string }).code
const countKeys = async () => Number((await pool.query('select count(*) from malote.idempotency_keys')).rows[0].count)
/** Moves every stored instant into the past: the database's clock alone decides. */
const age = (interval: string) =>
  pool.query(
    `update malote.idempotency_keys set body_expires_at = body_expires_at - $1::interval,
    expires_at = expires_at - $1::interval, lease_until = lease_until - $1::interval`,
    [interval],
  )

describe('a body past its time', () => {
  it('45. is not sent again; the key is still known, with the place of what was made', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)
    const first = await send(orders)
    await age('25 hours')

    const answers = [await send(orders), await send(orders, { body: { amount: 2000 } })]

    expect(answers.map(({ status }) => status)).toEqual([410, 422])
    expect(codeOf(answers[0]!)).toBe('response-expired')
    expect(answers[0]!.headers).toMatchObject({ location: first.headers['location'], 'idempotency-replayed': 'true' })
    expect(await countOrders(pool)).toBe(1)
  })

  it('45. is rebuilt by the application, if it says how', async () => {
    const orders = idempotencyOn(pool).atomic(
      {
        operation,
        rehydrate: async (_caller, { resourceRef, status }) => {
          const { rows } = await pool.query('select id from orders where id = $1', [resourceRef])
          return { status, headers: {}, body: Buffer.from(JSON.stringify(rows[0])) }
        },
      },
      placeOrder,
    )
    const first = await send(orders)
    await age('25 hours')

    expect(await send(orders)).toMatchObject({ status: 201, text: first.text })
  })

  it('43. that was too large to keep is answered the same way', async () => {
    const orders = idempotencyOn(pool, { maxStoredBodyBytes: 100 }).atomic({ operation }, () =>
      Promise.resolve({ status: 200, body: 'x'.repeat(101) }),
    )

    expect((await send(orders)).text).toHaveLength(101)
    expect((await send(orders)).status).toBe(410)
  })
})

describe('a key past its time', () => {
  it('45. counts as new, whether or not the purge has come by', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)
    await send(orders)
    await age('8 days')

    expect((await send(orders, { body: { amount: 2000 } })).status).toBe(201)
    expect([await countOrders(pool), await countKeys()]).toEqual([2, 1])
  })

  it('45. whose age can be told from itself gets 412 instead of a second run', async () => {
    const orders = idempotencyOn(pool, { keyAge: 'uuidv7' }).atomic({ operation }, placeOrder)

    const old = await send(orders, { key: uuidv7(Date.now() - 8 * dayMs) })
    const young = await send(orders, { key: uuidv7(Date.now() - 6 * dayMs) })
    const ageless = await send(orders, { key: '0b1f7a52-6d0e-4b6f-9f3e-000000000001' })

    expect([old.status, codeOf(old), young.status, ageless.status]).toEqual([412, 'key-expired', 201, 400])
    expect(await countOrders(pool)).toBe(1)
  })

  it('45. that is old but still known is replayed, not refused', async () => {
    const key = uuidv7(Date.now() - 8 * dayMs)
    const orders = (keyAge: 'unknown' | 'uuidv7') => idempotencyOn(pool, { keyAge }).atomic({ operation }, placeOrder)
    await send(orders('unknown'), { key })

    expect((await send(orders('uuidv7'), { key })).status).toBe(201)
  })
})

describe('the purge', () => {
  it('45. removes bodies and keys whose time has come, in batches and from several replicas at once', async () => {
    const idem = idempotencyOn(pool)
    const orders = idem.atomic({ operation }, placeOrder)
    for (let n = 0; n < 30; n++) await send(orders, { key: `key-0123456789-${String(n)}` })
    await age('25 hours')

    const bodies = await Promise.all([1, 2, 3].map(() => idem.purge({ batchSize: 5 })))
    await age('7 days')
    const keys = await Promise.all([1, 2, 3].map(() => idem.purge({ batchSize: 5 })))

    expect(bodies.reduce((sum, one) => sum + one.bodies, 0)).toBe(30)
    expect(bodies.every((one) => one.keys === 0)).toBe(true)
    expect([keys.reduce((sum, one) => sum + one.keys, 0), await countKeys()]).toEqual([30, 0])
  })

  it('45. never removes what is in progress or indeterminate, however old', async () => {
    const idem = idempotencyOn(pool)
    const [entered, opened] = [gate(), gate()]
    const held = send(idem.lease({ operation }, async () => (entered.open(), await opened.passed, { status: 200 })))
    await entered.passed
    await send(
      idem.lease({ operation }, () => Promise.reject(new Error('lost'))),
      { caller: bob },
    ).catch(() => {})
    await age('1 year')

    expect(await idem.purge()).toEqual({ keys: 0, bodies: 0 })
    expect(await countKeys()).toBe(2)
    opened.open()
    await held
  })

  it('forgets a subject, but not what is unfinished of it', async () => {
    const idem = idempotencyOn(pool)
    const orders = idem.atomic({ operation }, placeOrder)
    await send(orders)
    await send(orders, { caller: bob })
    await send(
      idem.lease({ operation }, () => Promise.reject(new Error('lost'))),
      { key: 'another-key-0123456789' },
    ).catch(() => {})

    expect(await idem.forgetSubject(alice.tenant, alice.subject)).toEqual({ forgotten: 1, unfinished: 1 })
    expect((await send(orders, { caller: bob })).headers).toHaveProperty('idempotency-replayed')
    expect((await send(orders)).headers).not.toHaveProperty('idempotency-replayed')
  })

  it('runs regularly until it is stopped, and goes on after an error', async () => {
    const errors: unknown[] = []
    const thrice = gate()
    let runs = 0
    const job = startRetention(
      async () => {
        if (++runs === 3) thrice.open()
        if (runs === 1) throw new Error('the database is down')
        await Promise.resolve()
      },
      {
        everyMs: 10,
        onError: (error) => {
          errors.push(error)
          throw new Error('whoever is told fails too')
        },
      },
    )

    await thrice.passed
    await job.stop()
    const stoppedAt = runs
    await new Promise((resolve) => setTimeout(resolve, 50))

    expect([errors.length, runs]).toEqual([1, stoppedAt])
  })
})
