import { type Selectable, sql } from 'kysely'
import type { Database, Tables, Tx } from '../database/database.ts'
import { type Order, type OrderStatus, statesBefore } from './order.ts'

/** An order as it stands in its row. */
export interface StoredOrder extends Order {
  readonly status: OrderStatus
  readonly reason: string | null
  readonly createdAt: Date
  readonly updatedAt: Date
}

export async function insertOrder(tx: Tx, order: Order): Promise<void> {
  await tx
    .insertInto('orders')
    .values({
      order_id: order.orderId,
      account_id: order.accountId,
      asset: order.asset,
      side: order.side,
      amount_centavos: order.amountCentavos,
    })
    .execute()
}

/** Where an order is to go, and why if it needs a reason. */
export interface Step {
  readonly orderId: string
  readonly to: OrderStatus
  readonly reason?: string | null
}

/**
 * Moves orders on, each if it is in a state from which it may go where it is to go.
 *
 * @returns the orders that moved; the rows of the others are as they were
 */
export async function advance(db: Database | Tx, steps: readonly Step[]): Promise<ReadonlySet<string>> {
  const targets = [...new Set(steps.map(({ to }) => to))]
  const transitions = targets.flatMap((to) => statesBefore(to).map((from) => ({ from, to })))
  const { rows } = await sql<{ order_id: string }>`
    with step as (
      select * from unnest(
        ${steps.map(({ orderId }) => orderId)}::uuid[], ${steps.map(({ to }) => to)}::text[],
        ${steps.map(({ reason }) => reason ?? null)}::text[]
      ) as given (order_id, status, reason)
    ),
    locked as materialized (
      -- In one sequence, so that two batches cannot wait for each other.
      select order_id from orders where order_id in (select order_id from step) order by order_id for no key update
    )
    update orders
    set status = step.status, reason = coalesce(step.reason, orders.reason), updated_at = clock_timestamp()
    from step, locked
    where orders.order_id = step.order_id and orders.order_id = locked.order_id
      and (orders.status, step.status) in (
        select * from unnest(${transitions.map(({ from }) => from)}::text[], ${transitions.map(({ to }) => to)}::text[]))
    returning orders.order_id`.execute(db)
  return new Set(rows.map((row) => row.order_id))
}

/** As `advance`, where an order that stays where it is means that a promise was broken. @throws Error, so that the transaction is rolled back */
export async function mustAdvance(tx: Tx, steps: readonly Step[]): Promise<void> {
  const moved = await advance(tx, steps)
  const stuck = steps.find(({ orderId }) => !moved.has(orderId))
  if (stuck !== undefined) throw new Error(`order ${stuck.orderId} cannot become ${stuck.to} from the state it is in`)
}

/** @returns the status of each order that exists */
export async function statusesOf(db: Database, orderIds: readonly string[]): Promise<ReadonlyMap<string, OrderStatus>> {
  const rows = await db.selectFrom('orders').select(['order_id', 'status']).where('order_id', 'in', orderIds).execute()
  return new Map(rows.map((row) => [row.order_id, row.status]))
}

export async function findOrder(db: Database | Tx, orderId: string): Promise<StoredOrder | undefined> {
  const row = await db.selectFrom('orders').selectAll().where('order_id', '=', orderId).executeTakeFirst()
  return row === undefined ? undefined : storedOrder(row)
}

/** An account's orders, newest first. `before` is the id the last page ended with: ids rise with time (UUIDv7). */
export async function listOrders(
  db: Database,
  accountId: string,
  page: { readonly limit: number; readonly before?: string | undefined },
): Promise<readonly StoredOrder[]> {
  let query = db.selectFrom('orders').selectAll().where('account_id', '=', accountId)
  if (page.before !== undefined) query = query.where('order_id', '<', page.before)
  const rows = await query.orderBy('order_id', 'desc').limit(page.limit).execute()
  return rows.map(storedOrder)
}

function storedOrder(row: Selectable<Tables['orders']>): StoredOrder {
  return {
    orderId: row.order_id,
    accountId: row.account_id,
    asset: row.asset,
    side: row.side,
    amountCentavos: row.amount_centavos,
    status: row.status,
    reason: row.reason,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}
