import { sql } from 'kysely'
import type { Database, Tx } from '../database/database.ts'
import type { StoredOrder } from './order-store.ts'
import type { Order, OrderState } from './order.ts'

/** One transition of an order, as it was committed. */
export interface HistoryRow {
  readonly orderId: string
  readonly version: number
  readonly state: OrderState
  readonly data: Readonly<Record<string, unknown>>
  readonly correlationId: string
  readonly causationId: string
  readonly actor: string
  readonly happenedAt: Date
}

/** What a rebuilt order consists of: all of the order but the clock readings of its row. */
export type RebuiltOrder = Omit<StoredOrder, 'createdAt' | 'updatedAt'>

const historyColumns = sql`order_id as "orderId", version, state, data, correlation_id as "correlationId",
  causation_id as "causationId", actor, happened_at as "happenedAt"`

/** An order's transitions, oldest first. */
export async function historyOf(db: Database | Tx, orderId: string): Promise<readonly HistoryRow[]> {
  const { rows } = await sql<HistoryRow>`
    select ${historyColumns} from order_history where order_id = ${orderId}::uuid order by version`.execute(db)
  return rows
}

/** What one actor did, newest first. */
export async function historyByActor(db: Database, actor: string, limit: number): Promise<readonly HistoryRow[]> {
  const { rows } = await sql<HistoryRow>`
    select ${historyColumns} from order_history where actor = ${actor} order by happened_at desc limit ${limit}`.execute(
    db,
  )
  return rows
}

/**
 * Makes the order from its history alone.
 *
 * @param history - all rows of one order, oldest first
 * @throws Error when a version is missing
 */
export function rebuildOrder(history: readonly HistoryRow[]): RebuiltOrder {
  const [first, ...rest] = history
  if (first === undefined) throw new Error('an order has at least one history row')
  const started: RebuiltOrder = {
    ...(first.data as unknown as Omit<Order, 'orderId'>),
    orderId: first.orderId,
    state: first.state,
    version: first.version,
    reason: null,
    filledQuantity: null,
    fillPriceCentavos: null,
    correlationId: first.correlationId,
  }
  return rest.reduce((order, row) => {
    if (row.version !== order.version + 1)
      throw new Error(`order ${row.orderId} has no history row ${String(order.version + 1)}`)
    return { ...order, ...(row.data as Partial<RebuiltOrder>), state: row.state, version: row.version }
  }, started)
}
