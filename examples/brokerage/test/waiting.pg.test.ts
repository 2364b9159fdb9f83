import { scaled } from '@malote/testing/slowness'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { lockAccounts, post } from '../src/balances/ledger.ts'
import type { Tx } from '../src/database/database.ts'
import { announce } from '../src/orders/order-events.ts'
import { lockOrders, type StoredOrder } from '../src/orders/order-store.ts'
import {
  anExchange,
  closing,
  createWorkbench,
  delivery,
  fill,
  fillingExchange,
  noAnswer,
  pursuing,
  type Workbench,
} from './workbench.ts'

/** Resolves when a backend of this database waits for another's lock. */
const somebodyWaits = (): Promise<void> =>
  expect
    .poll(
      async () =>
        (
          await bench.pool.query(
            'select from pg_stat_activity where datname = current_database() and wait_event_type = $1',
            ['Lock'],
          )
        ).rows,
      { timeout: scaled(10_000) },
    )
    .not.toHaveLength(0)

let bench: Workbench
beforeAll(async () => {
  bench = await createWorkbench(inject('postgresUrl'))
})
afterAll(() => bench.dispose())

describe('two transactions of one account', () => {
  const held = async <Result>(
    begin: (tx: Tx) => Promise<unknown>,
    meanwhile: () => Promise<Result>,
  ): Promise<Result> => {
    const [begun, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const first = bench.db.transaction().execute(async (tx) => {
      await begin(tx)
      begun.resolve()
      await end.promise
    })
    try {
      await Promise.race([begun.promise, first])
      return await meanwhile()
    } finally {
      end.resolve()
      await first
    }
  }

  it('do not meet when one moves its money and the other learns what the exchange did', async () => {
    const order = await bench.place(bench.nextAccount())

    await held(
      (tx) => lockAccounts(tx, [order.accountId]),
      () => bench.pursue(order, fillingExchange),
    )

    expect(await bench.stateOf(order)).toBe('FILLED')
  })

  it('announce outcomes in the order of their commits: the second waits for the first', async () => {
    const accountId = bench.nextAccount()
    const [earlier, later] = [await bench.place(accountId), await bench.place(accountId)]
    let second = Promise.resolve()

    await held(
      (tx) => announce(tx, [{ type: 'order.filled', order: earlier }]),
      async () => {
        second = bench.pursue(later, fillingExchange)
        await somebodyWaits()
      },
    )
    await second

    expect(await bench.stateOf(later)).toBe('FILLED')
  })
})

describe('the messages of a hot account', () => {
  const placed = async (): Promise<readonly StoredOrder[]> => {
    const accountId = bench.nextAccount()
    return [await bench.place(accountId), await bench.place(accountId), await bench.place(accountId)]
  }
  const deliveriesOf = (orders: readonly StoredOrder[], topic: string) =>
    Promise.all(orders.map(async (order) => delivery(await bench.messageOf(order, topic))))
  const statesOf = (orders: readonly StoredOrder[]) => Promise.all(orders.map((order) => bench.stateOf(order)))
  const transactionsOf = async (orders: readonly StoredOrder[], state: string) => {
    const { rows } = await bench.pool.query(
      'select distinct xmin::text from order_history where state = $1 and order_id = any($2)',
      [state, orders.map(({ orderId }) => orderId)],
    )
    return rows.length
  }

  it('reach the exchange in their order without waiting for answers, and have one transaction a step', async () => {
    const orders = await placed()
    const asked: string[] = []
    const all = Promise.withResolvers<void>()
    const exchange = anExchange({
      execute: async ({ orderId, quantity, limitPriceCentavos }) => {
        if (asked.push(orderId) === orders.length) all.resolve()
        await all.promise
        return fill(quantity, limitPriceCentavos)
      },
    })

    await pursuing(bench.pool, exchange).byStream.run(await deliveriesOf(orders, 'order-requests'))
    const found = [asked, await statesOf(orders), await transactionsOf(orders, 'FILLED')]
    await closing(bench.pool).byStream.run(await deliveriesOf(orders, 'order-outcomes'))

    expect(found).toEqual([orders.map(({ orderId }) => orderId), ['FILLED', 'FILLED', 'FILLED'], 1])
    expect([await statesOf(orders), await transactionsOf(orders, 'SETTLED')]).toEqual([
      ['SETTLED', 'SETTLED', 'SETTLED'],
      1,
    ])
  })

  it('wait behind one that cannot be applied', async () => {
    const orders = await placed()
    for (const order of orders) await bench.pursue(order, fillingExchange)
    const { accountId, orderId } = orders[1] as StoredOrder
    const [from, reason] = [{ accountId, kind: 'cash_reserved' }, 'payment'] as const
    await bench.db
      .transaction()
      .execute((tx) => post(tx, [{ orderId, reason, asset: 'BRL', amount: 1, from, to: 'market' }]))

    const outcomes = await closing(bench.pool).byStream.run(await deliveriesOf(orders, 'order-outcomes'))

    expect(outcomes).toMatchObject([
      { status: 'fulfilled' },
      { status: 'rejected', reason: { constraint: 'movement_of_order_is_made_once' } },
      { status: 'rejected', reason: { code: 'PREDECESSOR_FAILED' } },
    ])
    expect(await statesOf(orders)).toEqual(['SETTLED', 'FILLED', 'FILLED'])
  })
})

describe('a batch with a timeout in it', () => {
  it('takes its orders in one sequence, so that it and another batch do not wait for each other', async () => {
    const accountId = bench.nextAccount()
    const [first, second] = [await bench.place(accountId), await bench.place(accountId)]
    const timeout = delivery(await bench.messageOf(first, 'order-checks'))
    for (const order of [first, second]) await bench.pursue(order, anExchange())
    const check = delivery(await bench.messageOf(second, 'order-checks'))
    const handle = pursuing(
      bench.pool,
      anExchange({ lookUp: async ({ orderId }) => (orderId === second.orderId ? fill(1_000_000, 3_700) : noAnswer()) }),
    )

    const batch = await bench.db.transaction().execute(async (tx) => {
      await lockOrders(tx, [first.orderId])
      const handled = Promise.all([handle(timeout), handle(check)])
      await somebodyWaits()
      // Who holds the second and waits for the first would wait for ever for somebody who takes them in sequence.
      await sql`select from orders where order_id = ${second.orderId}::uuid for no key update nowait`.execute(tx)
      return { handled }
    })
    await batch.handled

    expect([timeout.message.type, check.message.type]).toEqual(['order.timeout', 'order.check'])
    expect(await bench.stateOf(second)).toBe('FILLED')
  })
})
