// #region suite
import { createRelay } from '@malote/outbox-core'
import { aDelivery, createMemoryBroker, expectPublished } from '@malote/outbox-core/testing'
import { beforeEach, expect, it } from 'vitest'
import { acceptOrder, createSalesHandler } from '../catalog/both-ends.ts'
import { pool } from './database.ts'

beforeEach(() => pool.query('truncate orders, sales, malote.messages'))

async function accept(orderId: string, end: 'commit' | 'rollback'): Promise<void> {
  const tx = await pool.connect()
  await tx.query('begin')
  await acceptOrder(tx, orderId, 500)
  await tx.query(end)
  tx.release()
}

const sales = async (): Promise<unknown[]> => (await pool.query('select order_id, cents from sales')).rows

it('an accepted order is published, a rolled-back one is not', async () => {
  const broker = createMemoryBroker()
  await accept('order-1', 'commit')
  await accept('order-2', 'rollback')

  const report = await createRelay({ pool, publisher: broker }).runOnce()

  expect(report.published).toBe(1)
  await expectPublished(broker, { type: 'order.accepted', orderingKey: 'order-1', payload: { cents: 500 } })
})

it('the handler alone: one delivery, no broker', async () => {
  const handler = createSalesHandler(pool)

  await handler(aDelivery({ type: 'order.accepted', payload: { orderId: 'order-1', cents: 500 } }))

  expect(await sales()).toEqual([{ order_id: 'order-1', cents: 500 }])
})

it('a sale is booked once, although the consumer dies and everything is delivered again', async () => {
  const broker = createMemoryBroker()
  await accept('order-1', 'commit')
  await createRelay({ pool, publisher: broker }).runOnce()

  let began = (): void => {}
  const handlerBegan = new Promise<void>((resolve) => (began = resolve))
  const dying = broker.createConsumer({ topic: 'orders', handler: () => (began(), new Promise(() => {})) })
  await dying.start()
  await handlerBegan
  dying.crash() // As SIGKILL: what it had goes to the next one.

  const consumer = broker.createConsumer({ topic: 'orders', handler: createSalesHandler(pool) })
  await consumer.start()
  broker.redeliver()
  await broker.settled()
  await consumer.stop()

  expect(await sales()).toEqual([{ order_id: 'order-1', cents: 500 }])
})

it('while the broker is away nothing is lost and nothing is dead', async () => {
  const broker = createMemoryBroker()
  await accept('order-1', 'commit')
  broker.goDown()
  const away = await createRelay({ pool, publisher: broker }).runOnce()
  broker.goUp()
  const back = await createRelay({ pool, publisher: broker }).runOnce()

  expect([away.isBrokerOut, away.deadLettered, back.published]).toEqual([true, 0, 1])
})
// #endregion
