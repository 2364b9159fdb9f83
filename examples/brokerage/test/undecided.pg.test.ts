import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { decideOrder } from '../src/orders/manual-tasks.ts'
import { historyOf } from '../src/orders/order-history.ts'
import { findOrder, type StoredOrder } from '../src/orders/order-store.ts'
import { remindForsaken } from '../src/orders/watch-orders.ts'
import {
  anExchange,
  change,
  createWorkbench,
  delivery,
  fillingExchange,
  pursuing,
  timeoutMs,
  type Workbench,
} from './workbench.ts'

let bench: Workbench
beforeAll(async () => {
  bench = await createWorkbench(inject('postgresUrl'))
})
afterAll(() => bench.dispose())

describe('an order whose messages do not come through', () => {
  const timedOut = async (order: { orderId: string }) => ({
    ...(await bench.messageOf(order as never, 'order-checks')),
    type: 'order.timeout',
    id: order.orderId,
  })

  it('before it was sent is given back when its time is up', async () => {
    const accountId = bench.nextAccount()
    const before = await bench.balances(accountId)
    const order = await bench.place(accountId)
    await bench.age(order)

    await pursuing(bench.pool, fillingExchange)(delivery(await timedOut(order)))
    await bench.close(order)

    expect(await findOrder(bench.db, order.orderId)).toMatchObject({ state: 'COMPENSATED', reason: 'NOT_SENT_IN_TIME' })
    expect(change(before, await bench.balances(accountId))).toEqual({})
  })

  it('after it was filled is settled by its timeout', async () => {
    const order = await bench.place(bench.nextAccount())
    await bench.pursue(order, fillingExchange)
    await bench.age(order)

    await pursuing(bench.pool, fillingExchange)(delivery(await timedOut(order)))

    expect(await bench.stateOf(order)).toBe('SETTLED')
  })
})

describe('a person', () => {
  async function failed() {
    const order = await bench.place(bench.nextAccount())
    await bench.pursue(order, anExchange())
    await bench.age(order)
    const timeout = { ...(await bench.messageOf(order, 'order-checks')), type: 'order.timeout', id: order.orderId }
    await pursuing(bench.pool, anExchange())(delivery(timeout))
    return order
  }
  const decide = (order: { orderId: string }, verdict: Parameters<typeof decideOrder>[2]) =>
    bench.db
      .transaction()
      .execute((tx) => decideOrder(tx, order.orderId, verdict, 'by phone', { actor: 'ADMIN', causationId: 'r' }))

  it.each([
    ['settles', { quantity: 10_000_000, priceCentavos: 3_700 }, 'SETTLED'],
    ['gives back', null, 'COMPENSATED'],
  ])('%s an order that has failed, once', async (_what, verdict, state) => {
    const order = await failed()

    const first = await decide(order, verdict)
    const second = await decide(order, verdict)
    await bench.close(order)

    expect([first.outcome, second.outcome]).toEqual(['decided', 'not-open'])
    expect(await bench.stateOf(order)).toBe(state)
    const manual = (await historyOf(bench.db, order.orderId)).filter(({ actor }) => actor === 'ADMIN')
    expect(manual.map(({ data }) => data['reason'])).toEqual(['MANUAL: by phone'])
  })

  it('cannot settle more than was reserved, nor an order that is on its way', async () => {
    const [late, young] = [await failed(), await bench.place(bench.nextAccount())]

    expect((await decide(late, { quantity: late.quantity + 1, priceCentavos: 1 })).outcome).toBe('fill-too-large')
    expect((await decide(young, null)).outcome).toBe('not-open')
  })
})

/** A timeout that died: refused by the broker, not understood, discarded by an operator. */
async function forsaken(): Promise<StoredOrder> {
  const order = await bench.place(bench.nextAccount())
  await bench.pursue(order, anExchange())
  await bench.age(order)
  await loseReminders()
  return order
}
const loseReminders = () =>
  bench.pool.query(
    `with lost as (delete from malote.messages where topic = 'order-checks') delete from malote.scheduled_messages`,
  )
const remind = () => remindForsaken(bench.db, timeoutMs, 60_000)

describe('an order that nobody looks after any more', () => {
  it('is found, and put before a person', async () => {
    const order = await forsaken()

    await remind()
    await bench.pursue(order, anExchange(), 'order-checks')

    expect(await bench.stateOf(order)).toBe('FAILED')
  })

  it.each([
    ['that was never sent is given back', 'BALANCE_RESERVED', 'COMPENSATED'],
    ['that was filled is settled', 'FILLED', 'SETTLED'],
  ])('%s', async (_what, before, after) => {
    const order = await bench.place(bench.nextAccount())
    if (before === 'FILLED') await bench.pursue(order, fillingExchange)
    await bench.age(order)
    await loseReminders()

    await remind()
    await bench.pursue(order, anExchange(), 'order-checks')
    if (before !== 'FILLED') await bench.close(order)

    expect(await bench.stateOf(order)).toBe(after)
    expect(await bench.balances(order.accountId)).not.toMatchObject({ cash_reserved: 100_000 })
  })

  it('is asked about by one process of many, and once until that look is overdue too', async () => {
    await forsaken()

    const found = await Promise.all([remind(), remind(), remind()])
    const again = await remind()
    await bench.pool.query(`update orders set looked_at = looked_at - interval '2 minutes' where looked_at is not null`)

    expect(found.reduce((sum, count) => sum + count)).toBe(1)
    expect(again).toBe(0)
    expect(await remind()).toBeGreaterThan(0)
  })

  it('starts no second chain of timeouts by being found', async () => {
    const order = await forsaken()
    await remind()
    await bench.pursue(order, anExchange(), 'order-checks')

    const { rows } = await bench.pool.query('select from malote.scheduled_messages')

    expect(rows).toEqual([])
  })

  it('is not one whose timeout goes on looking, nor one whose time is not up', async () => {
    await remind()
    const [late, young] = [await bench.place(bench.nextAccount()), await bench.place(bench.nextAccount())]
    await bench.pursue(late, anExchange())
    await bench.age(late)
    const timeout = { ...(await bench.messageOf(late, 'order-checks')), type: 'order.timeout', id: late.orderId }

    await pursuing(bench.pool, anExchange())(delivery(timeout))

    expect(await remind()).toBe(0)
    expect([await bench.stateOf(late), await bench.stateOf(young)]).toEqual(['FAILED', 'BALANCE_RESERVED'])
  })
})
