import { createInbox } from '@malote/idempotency'
import type { Delivery, ReceivedMessage, StreamHandler } from '@malote/outbox-core'
import { createTestDatabase } from '@malote/testing/database'
import type pg from 'pg'
import type { Answer, Exchange } from '../src/b3/exchange-client.ts'
import { closeOrder } from '../src/balances/close-orders.ts'
import { createDatabase, createPool, type Database } from '../src/database/database.ts'
import { migrateAll, migrateWitness } from '../src/database/migrate.ts'
import { openAccounts, type SeedAccount } from '../src/demo/accounts.ts'
import { createApplyOnce } from '../src/messaging/apply-once.ts'
import { oneShare } from '../src/money.ts'
import { cancelOrder, type Cancellation } from '../src/orders/cancel-order.ts'
import { findOrder, type StoredOrder } from '../src/orders/order-store.ts'
import type { Side } from '../src/orders/order.ts'
import { placeOrders } from '../src/orders/place-orders.ts'
import { pursueOrder } from '../src/orders/pursue-order.ts'

/** A brokerage without processes: its database, its handlers, and an exchange that says what a test wants. */
export interface Workbench {
  readonly pool: pg.Pool
  readonly db: Database
  /** Each test has an account of its own, so that none sees another's balance. */
  nextAccount(): string
  place(accountId: string, side?: Side, amountCentavos?: number): Promise<StoredOrder>
  cancel(order: StoredOrder): Promise<Cancellation>
  stateOf(order: StoredOrder): Promise<string | undefined>
  /** The newest message of an order, due or not. */
  messageOf(order: StoredOrder, topic: string): Promise<ReceivedMessage>
  /** Hands the order's newest message of a topic to the part that consumes it. */
  pursue(order: StoredOrder, exchange: Exchange, topic?: string): Promise<void>
  close(order: StoredOrder): Promise<void>
  /** Makes the order as old as its timeout. */
  age(order: StoredOrder): Promise<void>
  balances(accountId: string): Promise<Record<string, number>>
  dispose(): Promise<void>
}

export const timeoutMs = 300_000

export async function createWorkbench(postgresUrl: string): Promise<Workbench> {
  const server = await createTestDatabase(postgresUrl)
  const pool = createPool(server.url)
  const db = createDatabase(pool)
  await migrateAll(pool)
  await migrateWitness(pool)
  const accounts = Array.from({ length: 60 }, (_, n): SeedAccount => ({
    accountId: `TEST-${String(n)}`,
    token: `token-of-test-${String(n)}`,
    cashCentavos: 1_000_000,
    holding: 1_000 * oneShare,
    orderLimitCentavos: 1_000_000,
  }))
  await openAccounts(db, accounts)
  let used = 0

  const bench: Workbench = {
    pool,
    db,
    nextAccount: () => (accounts[used++] as SeedAccount).accountId,
    place: async (accountId, side = 'BUY', amountCentavos = 100_000) => {
      const request = { accountId, amountCentavos, quantity: null, asset: 'PETR4', side }
      const [placement] = await db
        .transaction()
        .execute((tx) => placeOrders(tx, [{ ...request, correlationId: 'corr', requestId: 'request' }], timeoutMs))
      if (placement?.outcome !== 'accepted') throw new Error(`refused: ${String(placement?.code)}`)
      return placement.order
    },
    cancel: ({ accountId, orderId }) =>
      db
        .transaction()
        .execute((tx) => cancelOrder(tx, accountId, orderId, { actor: accountId, causationId: 'request' })),
    stateOf: async ({ orderId }) => (await findOrder(db, orderId))?.state,
    messageOf: async ({ orderId }, topic) => {
      const { rows } = await pool.query(
        `select id, topic, type, ordering_key, payload, created_at, 1 as due from malote.messages
         where topic = $1 and payload::json ->> 'orderId' = $2
         union all
         select id, topic, type, ordering_key, payload, created_at, 0 from malote.scheduled_messages
         where topic = $1 and payload::json ->> 'orderId' = $2
         order by created_at desc, id desc limit 1`,
        [topic, orderId],
      )
      const row = rows[0]
      if (row === undefined) throw new Error(`order ${orderId} has no message in ${topic}`)
      return receivedMessage(row)
    },
    pursue: async (order, exchange, topic = 'order-requests') => {
      await pursuing(pool, exchange)(delivery(await bench.messageOf(order, topic)))
    },
    close: async (order) => {
      await closing(pool)(delivery(await bench.messageOf(order, 'order-outcomes')))
    },
    age: async ({ orderId }) => {
      await pool.query(`update orders set created_at = created_at - interval '1 day' where order_id = $1`, [orderId])
    },
    balances: async (accountId) => {
      const { rows } = await pool.query(
        `select kind, amount from balances where account_id = $1 and asset in ('BRL', 'PETR4')`,
        [accountId],
      )
      return Object.fromEntries(rows.map((row) => [row.kind, row.amount]))
    },
    dispose: async () => {
      await pool.end()
      await server.drop()
    },
  }
  return bench
}

export const pursuing = (pool: pg.Pool, exchange: Exchange): StreamHandler =>
  pursueOrder(
    { db: createDatabase(pool), exchange, timeoutMs, retryDelayMs: () => 2_000 },
    createApplyOnce(pool, createInbox(), 'orders'),
    'orders',
  )
export const closing = (pool: pg.Pool): StreamHandler =>
  closeOrder(createApplyOnce(pool, createInbox(), 'balances'), 'balances')

export const delivery = (message: ReceivedMessage, attempt = 1): Delivery => ({
  message,
  attempt,
  signal: new AbortController().signal,
})

function receivedMessage(row: Record<string, unknown>): ReceivedMessage {
  const payload = String(row['payload'])
  return {
    id: String(row['id']),
    topic: String(row['topic']),
    type: String(row['type']),
    orderingKey: row['ordering_key'] as string | null,
    headers: {},
    body: Buffer.from(payload),
    contentType: 'application/json',
    createdAt: row['created_at'] as Date,
    json: () => JSON.parse(payload),
  }
}

export const fill = (quantity: number, priceCentavos: number): Answer => ({
  status: 'filled',
  fill: { quantity, priceCentavos },
})
export const noAnswer = (): Promise<never> => Promise.reject(new Error('no answer'))

/** An exchange that gives no answer, except where told otherwise. */
export function anExchange(parts: Partial<Exchange> = {}): Exchange {
  return { execute: noAnswer, lookUp: noAnswer, withdraw: noAnswer, isReachable: () => true, ...parts }
}

/** Fills every order completely at its limit. */
export const fillingExchange: Exchange = anExchange({
  execute: async ({ quantity, limitPriceCentavos }) => fill(quantity, limitPriceCentavos),
})

/** What differs, as far as it does. */
export const change = (before: Record<string, number>, after: Record<string, number>): Record<string, number> =>
  Object.fromEntries(
    Object.entries(after)
      .map(([kind, amount]) => [kind, amount - (before[kind] ?? 0)] as const)
      .filter(([, difference]) => difference !== 0),
  )
