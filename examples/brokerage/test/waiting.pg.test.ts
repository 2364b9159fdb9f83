import { scaled } from '@malote/testing/slowness'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { lockAccounts } from '../src/balances/ledger.ts'
import type { Tx } from '../src/database/database.ts'
import { announce } from '../src/orders/order-events.ts'
import { lockOrders } from '../src/orders/order-store.ts'
import {
  anExchange,
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
