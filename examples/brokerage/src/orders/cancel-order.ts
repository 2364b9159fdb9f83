import { lockAccount, transfer } from '../balances/ledger.ts'
import { compensation } from '../balances/movements.ts'
import type { Tx } from '../database/database.ts'
import { announce } from './order-events.ts'
import { advance, findOrder, type StoredOrder } from './order-store.ts'

export type Cancellation =
  | { readonly outcome: 'cancelled'; readonly order: StoredOrder }
  | { readonly outcome: 'too-late'; readonly order: StoredOrder }
  | { readonly outcome: 'not-found' }

/**
 * Cancels an order that has not been sent to the exchange, and gives its reservation back in the same transaction.
 * The order consumer and this function move the same row out of `accepted`: exactly one of them succeeds.
 *
 * Cancelling a cancelled order again is harmless and says so.
 */
export async function cancelOrder(tx: Tx, accountId: string, orderId: string): Promise<Cancellation> {
  await lockAccount(tx, accountId)
  const found = await findOrder(tx, orderId)
  if (found === undefined || found.accountId !== accountId) return { outcome: 'not-found' }
  const moved = await advance(tx, [{ orderId, to: 'cancelled' }])
  if (moved.has(orderId)) {
    await transfer(tx, [compensation(found)])
    await announce(tx, [{ type: 'order.cancelled', order: found }])
  }
  const order = (await findOrder(tx, orderId)) ?? found
  return { outcome: order.status === 'cancelled' ? 'cancelled' : 'too-late', order }
}
