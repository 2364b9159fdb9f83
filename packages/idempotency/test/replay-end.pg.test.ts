import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, inject, it } from 'vitest'
import { createOrders, idempotencyOn, placeOrder, send } from './callers.ts'
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

/** A pool of one connection, on which `commit` alone waits to be sent. */
function poolThatHoldsCommit(): { readonly pool: pg.Pool; readonly arrived: Promise<void>; readonly let: () => void } {
  const single = database.pool({ max: 1 })
  const [arrived, ended] = [gate(), gate()]
  single.on('connect', (client) => {
    const query = client.query.bind(client) as (...given: unknown[]) => unknown
    Object.assign(client, {
      query: (...given: unknown[]) => {
        if (given[0] !== 'commit') return query(...given)
        arrived.open()
        return ended.passed.then(() => query(...given))
      },
    })
  })
  return { pool: single, arrived: arrived.passed, let: ended.open }
}

it('the end of a transaction that has found a record is not waited for, and its connection goes to nobody before', async () => {
  await send(idempotencyOn(pool).atomic({ operation }, placeOrder))
  const held = poolThatHoldsCommit()

  const answer = await send(idempotencyOn(held.pool).atomic({ operation }, placeOrder))
  const idle = held.pool.idleCount
  held.let()
  const { rows } = await held.pool.query('select now() = statement_timestamp() as is_own_transaction')

  expect([answer.status, 'idempotency-replayed' in answer.headers, idle]).toEqual([201, true, 0])
  expect([rows, held.pool.totalCount]).toEqual([[{ is_own_transaction: true }], 1])
})

it('without a record it is: its locks are gone before the client comes again', async () => {
  const limited = { maxKeysPerTenant: 1 }
  await send(idempotencyOn(pool, limited).atomic({ operation }, placeOrder))
  const held = poolThatHoldsCommit()
  const key = 'another key of at least 16 characters'.replaceAll(' ', '-')

  let isAnswered = false
  const first = send(idempotencyOn(held.pool, limited).atomic({ operation }, placeOrder), { key }).finally(
    () => (isAnswered = true),
  )
  await held.arrived
  // The locks are held, so that whoever asks now is told that the key is busy. The first has not been told to come again.
  const meanwhile = await send(idempotencyOn(pool, limited).atomic({ operation }, placeOrder), { key })
  expect([meanwhile.status, isAnswered]).toEqual([409, false])
  held.let()

  expect((await first).status).toBe(429)
  expect((await send(idempotencyOn(pool, limited).atomic({ operation }, placeOrder), { key })).status).toBe(429)
})
