import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it, vi } from 'vitest'
import { uuidv7 } from '../src/client.ts'
import { countOrders, createOrders, idempotencyOn, placeOrder, send } from './callers.ts'
import { gate } from './gates.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
})
beforeEach(() => database.owner.query('truncate orders, malote.idempotency_keys'))
afterEach(() => vi.useRealTimers())
afterAll(() => database.drop())

const operation = 'createOrder'
const hourMs = 3_600_000
/** The application's clock alone; the database's goes on as it was. */
const shiftBy = (ms: number) => vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + ms })

describe.each([
  ['a month ahead', 30 * 24 * hourMs],
  ['an hour behind', -hourMs],
])('45. a process whose clock is %s', (_, shiftMs) => {
  it('neither forgets nor purges what is known', async () => {
    const orders = idempotencyOn(pool).atomic({ operation }, placeOrder)
    const first = await send(orders)
    shiftBy(shiftMs)

    const purged = await idempotencyOn(pool).purge()
    const retry = await send(orders)

    expect([retry.status, retry.text, retry.headers['idempotency-replayed']]).toEqual([201, first.text, 'true'])
    expect([purged, await countOrders(pool)]).toEqual([{ keys: 0, bodies: 0 }, 1])
  })

  it('takes over no lease that runs', async () => {
    const [entered, opened] = [gate(), gate()]
    const idempotency = idempotencyOn(pool)
    const buy = idempotency.lease({ operation, onLeaseExpired: 'retry' }, async () => {
      entered.open()
      await opened.passed
      return { status: 201 }
    })
    const first = send(buy)
    await entered.passed
    shiftBy(shiftMs)

    expect([(await send(buy)).status, await idempotency.reconcile().list()]).toEqual([409, []])
    opened.open()
    expect((await first).status).toBe(201)
  })

  it('judges the age of a key by the time of the database', async () => {
    const [young, old] = [uuidv7(Date.now()), uuidv7(Date.now() - 8 * 24 * hourMs)]
    shiftBy(shiftMs)
    const orders = idempotencyOn(pool, { keyAge: 'uuidv7' }).atomic({ operation }, placeOrder)

    expect([(await send(orders, { key: young })).status, (await send(orders, { key: old })).status]).toEqual([201, 412])
  })
})

it('28. a process that hangs in a handler loses its transaction to PostgreSQL, and nothing else', async () => {
  const hanging = idempotencyOn(pool).atomic({ operation, timeoutMs: 200 }, async (call) => {
    const response = await placeOrder(call)
    // Nothing of this process runs, its timers neither: PostgreSQL ends what idles for a second longer than it may.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_000)
    return response
  })

  const answer = await send(hanging)
  const retry = await send(idempotencyOn(pool).atomic({ operation }, placeOrder))

  expect([answer.status, retry.status, 'idempotency-replayed' in retry.headers]).toEqual([503, 201, false])
  expect(await countOrders(pool)).toBe(1)
})
