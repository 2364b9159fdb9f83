import { migrateIdempotency } from '@malote/idempotency'
import { createRelay, migrate } from '@malote/outbox-core'
import { aDelivery, anOutboxMessage, createMemoryBroker } from '@malote/outbox-core/testing'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { acceptOrder, createSalesHandler } from './both-ends.ts'
import { acceptInOneStatement } from './statement.ts'
import { createSalesHandlerOfBoth } from './versions.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool({ max: 20 })
  await migrate(pool)
  await migrateIdempotency(pool)
  await pool.query(
    'create table orders (id text primary key, cents int); create table sales (order_id text, cents int)',
  )
})
beforeEach(() => database.truncate('orders, sales, malote.messages'))
afterAll(() => database.drop())

const sales = async (): Promise<unknown[]> => (await pool.query('select * from sales order by cents')).rows
const never = new AbortController().signal

describe('one catalog for both ends', () => {
  it('types, validates, carries and applies a message once', async () => {
    const tx = await pool.connect()
    await tx.query('begin')
    await acceptOrder(tx, 'order-1', 5)
    await tx.query('commit')
    tx.release()
    const broker = createMemoryBroker()
    await createRelay({ pool, publisher: broker }).runOnce()
    const consumer = broker.createConsumer({ topic: 'orders', handler: createSalesHandler(pool) })
    await consumer.start()
    broker.redeliver()
    await broker.publish([anOutboxMessage({ type: 'order.cancelled', body: '{}' })], never)
    await broker.settled()
    await consumer.stop()

    expect(await sales()).toEqual([{ order_id: 'order-1', cents: 5 }])
    expect(broker.deadLetters('orders')).toEqual([])
  })

  it('keeps what an old consumer does not know yet, in its order, until one is deployed that does', async () => {
    const broker = createMemoryBroker()
    const body = (cents: number): string =>
      JSON.stringify({ orderId: 'o', cents, amount: { value: cents, currency: 'BRL' } })
    const message = (type: string, cents: number) => anOutboxMessage({ type, body: body(cents), orderingKey: 'o' })
    const old = broker.createConsumer({
      topic: 'orders',
      handler: createSalesHandler(pool),
      maxAttempts: 1,
      unknownTypeRetryMs: 5,
    })
    await old.start()
    await broker.publish(
      [message('order.accepted', 1), message('order.accepted.v2', 2), message('order.accepted', 3)],
      never,
    )
    await expect.poll(sales).toHaveLength(1)
    await old.stop()
    const young = broker.createConsumer({ topic: 'orders', handler: createSalesHandlerOfBoth(pool) })
    await young.start()
    await broker.settled()
    await young.stop()

    expect(await sales()).toEqual([1, 2, 3].map((cents) => ({ order_id: 'o', cents })))
    expect(broker.deadLetters('orders')).toEqual([])
  })

  it('has a payload of an unknown shape come again as an unknown type does', async () => {
    const handler = createSalesHandler(pool)

    await expect(
      handler(aDelivery({ type: 'order.accepted', payload: { orderId: 'o', cents: '5' } })),
    ).rejects.toMatchObject({
      name: 'UnknownTypeError',
      message: expect.stringMatching(/does not fit its schema: cents: .*Deploy a consumer/),
    })
    await expect(handler(aDelivery({ type: 'order.shipped' }))).rejects.toThrow(
      'no code handles message type "order.shipped"',
    )
  })
})

describe('the order and its message in one statement', () => {
  it('commits both, or neither', async () => {
    await acceptInOneStatement(pool, 'order-1', 5)
    await expect(acceptInOneStatement(pool, 'order-1', 6)).rejects.toMatchObject({ code: '23505' })

    const { rows } = await pool.query('select type, ordering_key, payload from malote.messages')
    expect(rows).toEqual([
      { type: 'order.accepted', ordering_key: 'order-1', payload: '{"orderId":"order-1","cents":5}' },
    ])
  })
})
