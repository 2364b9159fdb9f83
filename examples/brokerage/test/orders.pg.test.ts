import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { sql } from 'kysely'
import { lockAccounts } from '../src/balances/ledger.ts'
import { listTasks } from '../src/orders/manual-tasks.ts'
import { historyOf, rebuildOrder } from '../src/orders/order-history.ts'
import { advance, findOrder } from '../src/orders/order-store.ts'
import {
  anExchange,
  change,
  closing,
  createWorkbench,
  delivery,
  fill,
  fillingExchange,
  pursuing,
  type Workbench,
} from './workbench.ts'

let bench: Workbench
beforeAll(async () => {
  bench = await createWorkbench(inject('postgresUrl'))
})
afterAll(() => bench.dispose())

const rejecting = anExchange({ execute: async () => ({ status: 'rejected', reason: 'DELISTED' }) })
const due = async (order: { orderId: string }) =>
  (
    await bench.pool.query(
      `select type, round(extract(epoch from available_at - created_at)) as seconds from malote.scheduled_messages
       where payload::json ->> 'orderId' = $1 order by available_at`,
      [order.orderId],
    )
  ).rows.map(({ type, seconds }) => `${type} in ${String(Math.round(Number(seconds)))} s`)

describe('an order', () => {
  it('to buy reserves its amount, and settles to shares and what was not needed', async () => {
    const accountId = bench.nextAccount()
    const before = await bench.balances(accountId)
    const order = await bench.place(accountId)
    const reserved = change(before, await bench.balances(accountId))

    await bench.pursue(order, anExchange({ execute: async () => fill(10_000_000, 3_700) }))
    await bench.close(order)

    expect(reserved).toEqual({ cash: -100_000, cash_reserved: 100_000 })
    expect(change(before, await bench.balances(accountId))).toEqual({ cash: -37_000, holding: 10_000_000 })
    expect(await bench.stateOf(order)).toBe('SETTLED')
    expect(await due(order)).toEqual([])
  })

  it('to sell reserves its shares, and settles to what they brought', async () => {
    const accountId = bench.nextAccount()
    const before = await bench.balances(accountId)
    const order = await bench.place(accountId, 'SELL')

    await bench.pursue(order, anExchange({ execute: async ({ quantity }) => fill(quantity, 3_800) }))
    await bench.close(order)

    expect(change(before, await bench.balances(accountId))).toEqual({ cash: 101_549, holding: -order.quantity })
  })

  it('goes from step to step without being written into its indexes anew', async () => {
    const { orderId } = await bench.place(bench.nextAccount())
    const cause = { orderId, causationId: 'test', actor: 'test' }

    const [before, after] = await bench.db.transaction().execute(async (tx) => {
      const updates = sql<{ inAnIndex: number }>`
        select n_tup_upd - n_tup_hot_upd as "inAnIndex" from pg_stat_xact_user_tables where relname = 'orders'`
      const first = (await updates.execute(tx)).rows
      for (const to of ['SENT_TO_B3', 'FAILED'] as const) await advance(tx, [{ ...cause, to }])
      return [first, (await updates.execute(tx)).rows]
    })

    expect(after).toEqual(before)
  })

  it('that the exchange rejects gives its reservation back', async () => {
    const accountId = bench.nextAccount()
    const before = await bench.balances(accountId)
    const order = await bench.place(accountId)

    await bench.pursue(order, rejecting)
    const between = await bench.stateOf(order)
    await bench.close(order)

    expect(between).toBe('COMPENSATING')
    expect(change(before, await bench.balances(accountId))).toEqual({})
    expect(await findOrder(bench.db, order.orderId)).toMatchObject({ state: 'COMPENSATED', reason: 'DELISTED' })
  })

  it('delivered twice is executed and settled once, and its messages are added once', async () => {
    const accountId = bench.nextAccount()
    const before = await bench.balances(accountId)
    const order = await bench.place(accountId)
    const handle = pursuing(bench.pool, { ...fillingExchange, lookUp: async ({ quantity }) => fill(quantity, 3_742) })
    const message = await bench.messageOf(order, 'order-requests')

    await Promise.all([handle(delivery(message)), handle(delivery(message, 2))])
    const filled = await bench.messageOf(order, 'order-outcomes')
    const close = closing(bench.pool)
    await Promise.all([close(delivery(filled)), close(delivery(filled, 2))])

    expect(await bench.stateOf(order)).toBe('SETTLED')
    expect(change(before, await bench.balances(accountId)).holding).toBe(order.quantity)
    const { rows } = await bench.pool.query(
      `select type, count(*)::int as count from malote.messages where payload::json ->> 'orderId' = $1 group by 1 order by 1`,
      [order.orderId],
    )
    expect(rows).toEqual([
      { type: 'order.accepted', count: 1 },
      { type: 'order.filled', count: 1 },
      { type: 'order.settled', count: 1 },
    ])
  })

  it('is rebuilt from its history, and every transition says who and why', async () => {
    const order = await bench.place(bench.nextAccount())
    await bench.pursue(order, anExchange({ execute: async () => fill(5_000_000, 3_700) }))
    await bench.close(order)
    const {
      createdAt: _c,
      updatedAt: _u,
      isLate: _l,
      ...stored
    } = (await findOrder(bench.db, order.orderId)) as never as {
      createdAt: Date
      updatedAt: Date
      isLate: boolean
    }

    const history = await historyOf(bench.db, order.orderId)

    expect(rebuildOrder(history)).toEqual(stored)
    expect(history.map(({ version, state, actor }) => [version, state, actor])).toEqual([
      [1, 'STARTED', order.accountId],
      [2, 'BALANCE_RESERVED', order.accountId],
      [3, 'SENT_TO_B3', 'orders'],
      [4, 'FILLED', 'orders'],
      [5, 'SETTLED', 'balances'],
    ])
    expect(new Set(history.map(({ correlationId }) => correlationId))).toEqual(new Set(['corr']))
  })
})

describe('an exchange without an answer', () => {
  it('costs the message nothing: the order stays as it is and is asked about in 2 seconds', async () => {
    const order = await bench.place(bench.nextAccount())

    await bench.pursue(order, anExchange())

    expect(await bench.stateOf(order)).toBe('SENT_TO_B3')
    expect(await due(order)).toEqual(['order.check in 2 s', 'order.timeout in 300 s'])
  })

  it('behind an open breaker is not even sent the order, which can still be cancelled', async () => {
    const order = await bench.place(bench.nextAccount())

    await bench.pursue(order, anExchange({ isReachable: () => false }))
    const state = await bench.stateOf(order)

    expect([state, (await bench.cancel(order)).outcome]).toEqual(['BALANCE_RESERVED', 'cancelled'])
  })

  it('is asked what became of the order, and never sent it again before it says that it does not know it', async () => {
    const order = await bench.place(bench.nextAccount())
    await bench.pursue(order, anExchange())

    await bench.pursue(order, anExchange({ lookUp: async ({ quantity }) => fill(quantity, 3_742) }), 'order-checks')

    expect(await bench.stateOf(order)).toBe('FILLED')
  })

  it('that has never heard of the order gets it again', async () => {
    const order = await bench.place(bench.nextAccount())
    await bench.pursue(order, anExchange())

    await bench.pursue(order, { ...fillingExchange, lookUp: async () => null }, 'order-checks')

    expect(await bench.stateOf(order)).toBe('FILLED')
  })

  it('until the time is up puts the order before a person, and is asked all the same', async () => {
    const order = await bench.place(bench.nextAccount())
    await bench.pursue(order, anExchange())
    await bench.age(order)
    const timeout = { ...(await bench.messageOf(order, 'order-checks')), type: 'order.timeout', id: order.orderId }

    await pursuing(bench.pool, anExchange())(delivery(timeout))

    expect(await bench.stateOf(order)).toBe('FAILED')
    expect((await listTasks(bench.db)).map(({ orderId }) => orderId)).toContain(order.orderId)
    expect((await due(order)).filter((line) => line.startsWith('order.timeout in 2 s'))).toHaveLength(1)
  })

  it('that comes back after the time was up decides the order after all, and nobody needs to', async () => {
    const accountId = bench.nextAccount()
    const before = await bench.balances(accountId)
    const order = await bench.place(accountId)
    await bench.pursue(order, anExchange())
    await bench.age(order)
    const timeout = (id: string) =>
      bench.messageOf(order, 'order-checks').then((message) => ({ ...message, type: 'order.timeout', id }))
    await pursuing(bench.pool, anExchange())(delivery(await timeout(order.orderId)))

    const back = anExchange({
      lookUp: async () => null,
      withdraw: async () => ({ status: 'rejected', reason: 'WITHDRAWN' }),
    })
    await pursuing(bench.pool, back)(delivery(await timeout('00000000-0000-7000-8000-00000000000a')))
    await bench.close(order)

    expect(await bench.stateOf(order)).toBe('COMPENSATED')
    expect(change(before, await bench.balances(accountId))).toEqual({})
    expect((await listTasks(bench.db)).map(({ orderId }) => orderId)).not.toContain(order.orderId)
  })
})

describe('many orders at once', () => {
  it('of which one is cancelled, one rejected, and one not answered', async () => {
    const orders = await Promise.all(Array.from({ length: 4 }, () => bench.place(bench.nextAccount())))
    const [filled, rejected, cancelled, unanswered] = orders as [never, never, never, (typeof orders)[0]]
    await bench.cancel(cancelled)
    const handle = pursuing(
      bench.pool,
      anExchange({
        execute: async ({ orderId, quantity }) => {
          if (orderId === unanswered.orderId) throw new Error('no answer')
          return orderId === (filled as { orderId: string }).orderId
            ? fill(quantity, 3_742)
            : { status: 'rejected', reason: 'DELISTED' }
        },
      }),
    )
    const messages = await Promise.all(orders.map((order) => bench.messageOf(order, 'order-requests')))

    await Promise.all(messages.map((message) => handle(delivery(message))))
    const close = closing(bench.pool)
    const decided = await Promise.all([filled, rejected].map((order) => bench.messageOf(order, 'order-outcomes')))
    await Promise.all(decided.map((message) => close(delivery(message))))

    expect(await Promise.all(orders.map((order) => bench.stateOf(order)))).toEqual([
      'SETTLED',
      'COMPENSATED',
      'CANCELLED',
      'SENT_TO_B3',
    ])
  })

  it('of the same accounts in opposite order do not wait for each other for ever', async () => {
    const accounts = [bench.nextAccount(), bench.nextAccount()]
    const batch = (ids: readonly string[]) =>
      bench.db.transaction().execute(async (tx) => {
        await lockAccounts(tx, ids)
        await lockAccounts(tx, ids.toReversed())
      })

    const batches = Array.from({ length: 30 }, (_, n) => batch(n % 2 === 0 ? accounts : accounts.toReversed()))

    await expect(Promise.all(batches)).resolves.toHaveLength(30)
  })
})

describe('a cancellation', () => {
  it('in time gives the reservation back at once, and the exchange never hears of the order', async () => {
    const accountId = bench.nextAccount()
    const before = await bench.balances(accountId)
    const order = await bench.place(accountId)

    const outcomes = [(await bench.cancel(order)).outcome, (await bench.cancel(order)).outcome]
    await bench.pursue(order, fillingExchange)

    expect(outcomes).toEqual(['cancelled', 'cancelled'])
    expect(await bench.stateOf(order)).toBe('CANCELLED')
    expect(change(before, await bench.balances(accountId))).toEqual({})
  })

  it('after the order was sent comes too late', async () => {
    const order = await bench.place(bench.nextAccount())
    let outcome = ''

    await bench.pursue(
      order,
      anExchange({
        execute: async ({ quantity }) => {
          outcome = (await bench.cancel(order)).outcome
          return fill(quantity, 3_742)
        },
      }),
    )

    expect([outcome, await bench.stateOf(order)]).toEqual(['too-late', 'FILLED'])
  })

  it("of somebody else's order finds nothing", async () => {
    const order = await bench.place(bench.nextAccount())

    expect(await bench.cancel({ ...order, accountId: bench.nextAccount() })).toEqual({ outcome: 'not-found' })
  })
})
