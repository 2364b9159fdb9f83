import { sql } from 'kysely'
import { lockAccounts } from '../balances/ledger.ts'
import type { Database, Tx } from '../database/database.ts'
import { announce } from './order-events.ts'
import { advance, type Cause, findOrder, type StoredOrder } from './order-store.ts'
import type { Fill } from './order.ts'

/** An order that waits for a person. */
export interface ManualTask {
  readonly orderId: string
  readonly accountId: string
  readonly reason: string
  readonly openedAt: Date
}

/** Puts orders that have become `FAILED` before a person; once each. */
export async function openTasks(
  tx: Tx,
  orders: readonly { readonly orderId: string; readonly reason: string }[],
): Promise<void> {
  if (orders.length === 0) return
  await sql`
    insert into manual_tasks (order_id, reason)
    select "orderId", reason from json_to_recordset(${JSON.stringify(orders)}::json) as given ("orderId" uuid, reason text)
    on conflict do nothing`.execute(tx)
}

/** Closes the tasks of orders that have been decided, by a person or by the exchange after all. */
export async function resolveTasks(
  tx: Tx,
  decisions: readonly { readonly orderId: string; readonly by: string; readonly resolution: string }[],
): Promise<void> {
  if (decisions.length === 0) return
  await sql`
    update manual_tasks set resolved_at = clock_timestamp(), resolved_by = given.by, resolution = given.resolution
    from json_to_recordset(${JSON.stringify(decisions)}::json) as given ("orderId" uuid, by text, resolution text)
    where order_id = given."orderId" and resolved_at is null`.execute(tx)
}

/** The queue of those who decide, oldest first. */
export async function listTasks(db: Database): Promise<readonly ManualTask[]> {
  const { rows } = await sql<ManualTask>`
    select order_id as "orderId", account_id as "accountId", task.reason, opened_at as "openedAt"
    from manual_tasks as task join orders using (order_id)
    where resolved_at is null order by opened_at limit 200`.execute(db)
  return rows
}

/** What a person found out about an order: what the exchange had filled of it, or (null) that it never will. */
export type Verdict = Fill | null

export type ManualDecision =
  | { readonly outcome: 'decided'; readonly order: StoredOrder }
  | { readonly outcome: 'not-open'; readonly order: StoredOrder }
  | { readonly outcome: 'fill-too-large'; readonly order: StoredOrder }
  | { readonly outcome: 'not-found' }

/**
 * An administrator decides an order that has failed. What follows is the ordinary way: the balance consumer settles it or gives
 * the reservation back.
 *
 * @param note - why, in the administrator's words; kept in the history
 */
export async function decideOrder(
  tx: Tx,
  orderId: string,
  verdict: Verdict,
  note: string,
  cause: Cause,
): Promise<ManualDecision> {
  const found = await findOrder(tx, orderId)
  if (found === undefined) return { outcome: 'not-found' }
  if (verdict !== null && !fits(found, verdict)) return { outcome: 'fill-too-large', order: found }
  await lockAccounts(tx, [found.accountId])
  if ((await findOrder(tx, orderId))?.state !== 'FAILED') return { outcome: 'not-open', order: found }
  const step =
    verdict === null
      ? ({ orderId, to: 'COMPENSATING', reason: `MANUAL: ${note}`, ...cause } as const)
      : ({ orderId, to: 'FILLED', reason: `MANUAL: ${note}`, fill: verdict, ...cause } as const)
  const order = (await advance(tx, [step])).get(orderId)
  if (order === undefined) return { outcome: 'not-open', order: found }
  await resolveTasks(tx, [{ orderId, by: cause.actor, resolution: verdict === null ? 'given back' : 'settled' }])
  await announce(tx, [{ type: verdict === null ? 'order.rejected' : 'order.filled', order }])
  return { outcome: 'decided', order }
}

/** Whether the reservation covers the fill. */
function fits({ side, quantity, limitPriceCentavos }: StoredOrder, fill: Fill): boolean {
  return fill.quantity <= quantity && (side === 'SELL' || fill.priceCentavos <= limitPriceCentavos)
}
