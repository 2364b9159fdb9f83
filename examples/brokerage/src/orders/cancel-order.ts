import { lockAccounts, post } from '../balances/ledger.ts'
import { compensation } from '../balances/movements.ts'
import type { Tx } from '../database/database.ts'
import { announce, cancelTimeouts } from './order-events.ts'
import { advance, type Cause, findOrder, type StoredOrder } from './order-store.ts'

export type Cancellation =
  | { readonly outcome: 'cancelled'; readonly order: StoredOrder }
  | { readonly outcome: 'too-late'; readonly order: StoredOrder }
  | { readonly outcome: 'not-found' }

/**
 * Cancels an order that has not been sent to the exchange, and gives its reservation back in the same transaction.
 * The order consumer and this function move the same row out of `BALANCE_RESERVED`: exactly one of them succeeds.
 *
 * Cancelling a cancelled order again is harmless and says so.
 */
export async function cancelOrder(tx: Tx, accountId: string, orderId: string, cause: Cause): Promise<Cancellation> {
  await lockAccounts(tx, [accountId])
  const found = await findOrder(tx, orderId)
  if (found === undefined || found.accountId !== accountId) return { outcome: 'not-found' }
  const cancelled = (await advance(tx, [{ orderId, to: 'CANCELLED', ...cause }])).get(orderId)
  if (cancelled !== undefined) {
    await post(tx, compensation(cancelled))
    await cancelTimeouts(tx, [orderId])
    await announce(tx, [{ type: 'order.cancelled', order: cancelled }])
    return { outcome: 'cancelled', order: cancelled }
  }
  const order = (await findOrder(tx, orderId)) ?? found
  return { outcome: order.state === 'CANCELLED' ? 'cancelled' : 'too-late', order }
}
