import { createInbox } from '@malote/idempotency'
import type { Delivery, ReceivedMessage } from '@malote/outbox-core'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import type { Exchange } from '../src/b3/exchange-client.ts'
import { closeOrder } from '../src/balances/close-order.ts'
import { lockAccounts } from '../src/balances/ledger.ts'
import { createDatabase, createPool, type Database } from '../src/database/database.ts'
import { migrateAll } from '../src/database/migrate.ts'
import { openAccounts, type SeedAccount } from '../src/demo/accounts.ts'
import { createApplyOnce } from '../src/messaging/apply-once.ts'
import { cancelOrder } from '../src/orders/cancel-order.ts'
import { executeOrder } from '../src/orders/execute-order.ts'
import { findOrder } from '../src/orders/order-store.ts'
import type { Order, Side } from '../src/orders/order.ts'
import { placeOrder } from '../src/orders/place-order.ts'

let server: TestDatabase
let pool: pg.Pool
let db: Database

beforeAll(async () => {
  server = await createTestDatabase(inject('postgresUrl'))
  pool = createPool(server.url)
  db = createDatabase(pool)
  await migrateAll(pool)
  await openAccounts(db, testAccounts)
})
afterAll(async () => {
  await pool.end()
  await server.drop()
})

/** Each test has an account of its own, so that none sees another's balance. */
const testAccounts: readonly SeedAccount[] = Array.from({ length: 40 }, (_, n) => ({
  accountId: `TEST-${String(n)}`,
  token: `token-of-test-${String(n)}`,
  cashCentavos: 1_000_000,
  holdingCentavos: 100_000,
  orderLimitCentavos: 100_000,
}))
let used = 0
const nextAccount = () => (testAccounts[used++] as SeedAccount).accountId

async function place(accountId: string, side: Side = 'BUY', amountCentavos = 1_000): Promise<Order> {
  const placement = await db
    .transaction()
    .execute((tx) => placeOrder(tx, accountId, { amountCentavos, asset: 'PETR4', side }))
  if (placement.outcome !== 'accepted') throw new Error(`refused: ${placement.code}`)
  return placement.order
}
const cancel = (order: Order) => db.transaction().execute((tx) => cancelOrder(tx, order.accountId, order.orderId))
const statusOf = async (order: Order) => (await findOrder(db, order.orderId))?.status

/** The messages of an order as consumers get them, from the witness and the outbox. */
async function messageOf(order: Order, topic: string): Promise<ReceivedMessage> {
  const { rows } = await pool.query(
    `select id, topic, type, ordering_key, payload, created_at from malote.messages
     where topic = $1 and payload::json ->> 'orderId' = $2 order by seq desc limit 1`,
    [topic, order.orderId],
  )
  const row = rows[0]
  return {
    id: row.id,
    topic,
    type: row.type,
    orderingKey: row.ordering_key,
    headers: {},
    body: Buffer.from(row.payload),
    contentType: 'application/json',
    createdAt: row.created_at,
    json: () => JSON.parse(row.payload),
  }
}
const delivery = (message: ReceivedMessage, attempt = 1): Delivery => ({
  message,
  attempt,
  signal: new AbortController().signal,
})

async function balances(accountId: string): Promise<Record<string, number>> {
  const { rows } = await pool.query(
    `select kind, balance_centavos from ledger_accounts where account_id = $1 and asset in ('BRL', 'PETR4')`,
    [accountId],
  )
  return Object.fromEntries(rows.map((row) => [row.kind, row.balance_centavos]))
}
const change = (before: Record<string, number>, after: Record<string, number>) =>
  Object.fromEntries(
    Object.entries(after)
      .map(([kind, centavos]) => [kind, centavos - (before[kind] ?? 0)] as const)
      .filter(([, difference]) => difference !== 0),
  )

const answers = (execute: Exchange['execute'], withdraw: Exchange['withdraw'] = execute) => ({ execute, withdraw })
const executing = (exchange: Exchange, giveUpAfter = 3) =>
  executeOrder({ db, exchange, giveUpAfter, applyOnce: createApplyOnce(db, createInbox(), 'order-consumer') })
const closing = () => closeOrder(createApplyOnce(db, createInbox(), 'balance-consumer'))

async function execute(order: Order, exchange: Exchange): Promise<void> {
  await executing(exchange)(delivery(await messageOf(order, 'order-queue')))
}

describe('an order', () => {
  it.each([
    ['BUY', { cash: -1_000, cash_reserved: 1_000 }, { cash: -1_000, cash_reserved: 0, holding: 1_000 }],
    ['SELL', { holding: -1_000, holding_reserved: 1_000 }, { holding: -1_000, holding_reserved: 0, cash: 1_000 }],
  ] as const)('%s reserves when placed and settles when filled', async (side, placed, settled) => {
    const accountId = nextAccount()
    const before = await balances(accountId)

    const order = await place(accountId, side)
    const reserved = change(before, await balances(accountId))
    await execute(
      order,
      answers(async () => ({ status: 'filled' })),
    )
    await closing()(delivery(await messageOf(order, 'balance-queue')))

    expect(reserved).toEqual(placed)
    expect(change(before, await balances(accountId))).toEqual(
      Object.fromEntries(Object.entries(settled).filter(([, centavos]) => centavos !== 0)),
    )
    expect(await statusOf(order)).toBe('settled')
  })

  it('that the exchange rejects gives its reservation back', async () => {
    const accountId = nextAccount()
    const before = await balances(accountId)
    const order = await place(accountId)

    await execute(
      order,
      answers(async () => ({ status: 'rejected', reason: 'DELISTED' })),
    )
    await closing()(delivery(await messageOf(order, 'balance-queue')))

    expect(change(before, await balances(accountId))).toEqual({})
    expect(await findOrder(db, order.orderId)).toMatchObject({ status: 'compensated', reason: 'DELISTED' })
  })

  it('delivered twice is executed and settled once, and its messages are added once', async () => {
    const accountId = nextAccount()
    const order = await place(accountId)
    const message = await messageOf(order, 'order-queue')
    const handle = executing(answers(async () => ({ status: 'filled' })))

    await Promise.all([handle(delivery(message)), handle(delivery(message, 2))])
    const filled = await messageOf(order, 'balance-queue')
    await Promise.all([closing()(delivery(filled)), closing()(delivery(filled, 2))])

    const { rows } = await pool.query(
      `select type, count(*)::int from malote.messages where payload::json ->> 'orderId' = $1 group by type order by type`,
      [order.orderId],
    )
    expect(rows).toEqual([
      { type: 'order.accepted', count: 2 },
      { type: 'order.filled', count: 2 },
      { type: 'order.settled', count: 3 },
    ])
    expect((await pool.query('select from duplicate_deliveries where message_id = $1', [message.id])).rowCount).toBe(1)
  })
})

describe('orders handled together', () => {
  it('end each on its own: filled, rejected, cancelled before, and one the exchange does not answer', async () => {
    const orders = await Promise.all(Array.from({ length: 4 }, () => place(nextAccount())))
    const [filled, rejected, cancelled, unanswered] = orders as [Order, Order, Order, Order]
    await cancel(cancelled)
    const handle = executing({
      execute: async ({ orderId }) => {
        if (orderId === unanswered.orderId) throw new Error('no answer')
        return orderId === filled.orderId ? { status: 'filled' } : { status: 'rejected', reason: 'DELISTED' }
      },
      withdraw: () => Promise.reject(new Error('not asked for')),
    })
    const messages = await Promise.all(orders.map((order) => messageOf(order, 'order-queue')))

    const outcomes = await Promise.allSettled(messages.map((message) => handle(delivery(message))))
    const closed = await Promise.all([filled, rejected].map((order) => messageOf(order, 'balance-queue')))
    const close = closing()
    await Promise.all(closed.map((message) => close(delivery(message))))

    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected'])
    expect(await Promise.all(orders.map(statusOf))).toEqual(['settled', 'compensated', 'cancelled', 'sent'])
  })

  it('one of them that cannot be closed fails alone', async () => {
    const orders = await Promise.all(Array.from({ length: 3 }, () => place(nextAccount())))
    const handle = executing(answers(async () => ({ status: 'filled' })))
    for (const order of orders) await handle(delivery(await messageOf(order, 'order-queue')))
    await pool.query(`update orders set status = 'rejected' where order_id = $1`, [orders[1]?.orderId])
    const close = closing()
    const messages = await Promise.all(orders.map((order) => messageOf(order, 'balance-queue')))

    const outcomes = await Promise.allSettled(messages.map((message) => close(delivery(message))))

    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(await Promise.all(orders.map(statusOf))).toEqual(['settled', 'rejected', 'settled'])
  })

  it('of the same accounts in opposite order do not wait for each other for ever', async () => {
    const accountsOf = [nextAccount(), nextAccount()]
    const batch = (ids: readonly string[]) =>
      db.transaction().execute(async (tx) => {
        await lockAccounts(tx, ids)
        await lockAccounts(tx, ids.toReversed())
      })

    const batches = Array.from({ length: 30 }, (_, n) => batch(n % 2 === 0 ? accountsOf : accountsOf.toReversed()))

    await expect(Promise.all(batches)).resolves.toHaveLength(30)
  })
})

describe('an exchange without an answer', () => {
  const noAnswer = (): Promise<never> => Promise.reject(new Error('no answer'))

  it('leaves the order as sent and changes nothing else', async () => {
    const order = await place(nextAccount())
    const message = await messageOf(order, 'order-queue')

    await expect(executing(answers(noAnswer))(delivery(message))).rejects.toThrow('no answer')

    expect(await statusOf(order)).toBe('sent')
  })

  it('is given up on only when it confirms that the order is withdrawn', async () => {
    const order = await place(nextAccount())
    const message = await messageOf(order, 'order-queue')

    await expect(executing(answers(noAnswer))(delivery(message, 3))).rejects.toThrow('no answer')
    await executing(answers(noAnswer, async () => ({ status: 'rejected', reason: 'WITHDRAWN' })))(delivery(message, 4))

    expect(await findOrder(db, order.orderId)).toMatchObject({ status: 'rejected', reason: 'WITHDRAWN' })
  })

  it('that had filled the order after all settles it', async () => {
    const order = await place(nextAccount())
    const message = await messageOf(order, 'order-queue')

    await executing(answers(noAnswer, async () => ({ status: 'filled' })))(delivery(message, 3))

    expect(await statusOf(order)).toBe('filled')
  })
})

describe('a cancellation', () => {
  it('in time gives the reservation back at once, and the exchange never hears of the order', async () => {
    const accountId = nextAccount()
    const before = await balances(accountId)
    const order = await place(accountId)

    const { outcome } = await cancel(order)
    const again = await cancel(order)
    await execute(
      order,
      answers(() => Promise.reject(new Error('the exchange was called'))),
    )

    expect([outcome, again.outcome]).toEqual(['cancelled', 'cancelled'])
    expect(change(before, await balances(accountId))).toEqual({})
  })

  it('after the order was sent comes too late', async () => {
    const order = await place(nextAccount())
    let outcome = ''

    await execute(
      order,
      answers(async () => {
        outcome = (await cancel(order)).outcome
        return { status: 'filled' }
      }),
    )

    expect(outcome).toBe('too-late')
    expect(await statusOf(order)).toBe('filled')
  })

  it("of somebody else's order finds nothing", async () => {
    const order = await place(nextAccount())

    expect(await cancel({ ...order, accountId: nextAccount() })).toEqual({ outcome: 'not-found' })
  })
})
