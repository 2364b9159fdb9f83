import type { Selectable } from 'kysely'
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

/**
 * Moves an order to `to`, if it is in a state from which it may go there.
 *
 * @returns whether it moved; false leaves the row as it was
 */
export async function advance(
  db: Database | Tx,
  orderId: string,
  to: OrderStatus,
  reason: string | null = null,
): Promise<boolean> {
  const result = await db
    .updateTable('orders')
    .set((expression) => ({
      status: to,
      updated_at: expression.fn<Date>('clock_timestamp'),
      ...(reason === null ? {} : { reason }),
    }))
    .where('order_id', '=', orderId)
    .where('status', 'in', statesBefore(to))
    .executeTakeFirst()
  return result.numUpdatedRows > 0n
}

/** As `advance`, where anything else means that a promise was broken. @throws Error, so that the transaction is rolled back */
export async function mustAdvance(
  tx: Tx,
  orderId: string,
  to: OrderStatus,
  reason: string | null = null,
): Promise<void> {
  if (!(await advance(tx, orderId, to, reason)))
    throw new Error(`order ${orderId} cannot become ${to} from the state it is in`)
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
