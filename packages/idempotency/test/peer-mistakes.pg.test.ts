import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { alice, type Caller, countOrders, createOrders, idempotencyOn, key, placeOrder, send } from './callers.ts'
import { gate, withoutWaiting } from './gates.ts'
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
const rows = async () => (await pool.query('select * from malote.idempotency_keys')).rows

describe('mistakes other libraries have made', () => {
  it('their own 409 and 422 were stored as the response of the key', async () => {
    const [entered, opened] = [gate(), gate()]
    const orders = idempotencyOn(pool).atomic({ operation }, async (call) => {
      const response = await placeOrder(call)
      entered.open()
      await opened.passed
      return response
    })
    const first = send(orders)
    await entered.passed
    const during = await withoutWaiting(pool, send(orders)).finally(opened.open)
    await first
    const mismatch = await send(orders, { body: { amount: 2 } })

    expect([during.status, mismatch.status, (await rows())[0].response_status]).toEqual([409, 422, 201])
  })

  it('a mismatch destroyed the good response', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)
    const first = await send(orders)
    const before = await rows()
    await send(orders, { body: { amount: 2 } })

    expect(await rows()).toEqual(before)
    expect((await send(orders)).text).toBe(first.text)
  })

  it('a lock left by a crash answered 409 for days', async () => {
    const dead = await database.client()
    const [entered] = [gate()]
    const small = database.pool({ max: 1 })
    const orders = idempotencyOn(small).atomic({ operation, waitMs: 5_000 }, async (call) => {
      if ((await countOrders(pool)) === 0 && dead !== null) {
        const { rows: backend } = await call.tx.query('select pg_backend_pid() as pid')
        entered.open()
        await dead.query('select pg_terminate_backend($1)', [backend[0].pid])
        await pool.query('insert into orders (tenant) values ($1)', ['marker'])
      }
      return placeOrder(call)
    })

    expect((await send(orders)).status).toBe(503)
    expect((await send(orders)).status).toBe(201)
  })

  it('the same body under another key was refused', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)

    const answers = [await send(orders), await send(orders, { key: `${key}-other` })]

    expect([answers.map(({ status }) => status), await countOrders(pool)]).toEqual([[201, 201], 2])
  })

  it('a refreshed token changed the key, and the retry ran again', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)

    await send(orders, { caller: { ...alice, token: 'before' } as Caller })
    await send(orders, { caller: { ...alice, token: 'after' } as Caller })

    expect(await countOrders(pool)).toBe(1)
  })

  it('an expired row answered 409 until a purge came by', async () => {
    const idem = idempotencyOn(pool)
    await send(idem.atomic({ operation }, placeOrder))
    await pool.query(`update malote.idempotency_keys set expires_at = now() - interval '1 second'`)

    expect((await send(idem.atomic({ operation }, placeOrder))).status).toBe(201)
    await pool.query(`update malote.idempotency_keys set expires_at = now() - interval '1 second'`)
    expect((await send(idem.lease({ operation }, () => Promise.resolve({ status: 200 })))).status).toBe(200)
  })

  it('a zombie overwrote the response of the new owner', async () => {
    const [entered, opened] = [gate(), gate()]
    const buy = idempotencyOn(pool).lease({ operation, onLeaseExpired: 'retry' }, async ({ attempt }) => {
      if (attempt > 1) return { status: 200, body: 'owner' }
      entered.open()
      await opened.passed
      return { status: 200, body: 'zombie' }
    })
    const zombie = send(buy)
    await entered.passed
    await pool.query(`update malote.idempotency_keys set lease_until = now() - interval '1 second'`)
    await send(buy)
    opened.open()
    await zombie

    expect((await send(buy)).text).toBe('owner')
  })
})
