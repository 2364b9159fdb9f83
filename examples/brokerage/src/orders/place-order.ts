import { uuidv7 } from '@malote/outbox-core'
import { InsufficientBalance, lockAccount, transfer } from '../balances/ledger.ts'
import { reservation } from '../balances/movements.ts'
import type { Tx } from '../database/database.ts'
import type { Centavos } from '../money.ts'
import { antifraud } from './antifraud.ts'
import { announce } from './order-events.ts'
import type { Order, Side } from './order.ts'
import { insertOrder } from './order-store.ts'

export interface OrderRequest {
  readonly amountCentavos: Centavos
  readonly asset: string
  readonly side: Side
}

export type Placement =
  | { readonly outcome: 'accepted'; readonly order: Order }
  | { readonly outcome: 'refused'; readonly code: 'ANTIFRAUD_REFUSED' | 'INSUFFICIENT_BALANCE' }

/**
 * Antifraud, reservation, order row and outgoing messages, all in the caller's transaction. The HTTP layer adds the record
 * of the idempotency key to the same transaction, so that one commit makes all of it true.
 *
 * The exchange is not called here: a call to somebody else's system inside a transaction can neither be rolled back nor be
 * allowed to hold an account's lock.
 */
export async function placeOrder(tx: Tx, accountId: string, request: OrderRequest): Promise<Placement> {
  const { orderLimitCentavos } = await lockAccount(tx, accountId)
  if (!antifraud(request.amountCentavos, orderLimitCentavos).passed)
    return { outcome: 'refused', code: 'ANTIFRAUD_REFUSED' }
  const order: Order = { orderId: uuidv7(), accountId, ...request }
  try {
    await transfer(tx, [reservation(order)])
  } catch (error) {
    // Thrown before anything was written, so the transaction is still good for the record of the refusal.
    if (error instanceof InsufficientBalance) return { outcome: 'refused', code: 'INSUFFICIENT_BALANCE' }
    throw error
  }
  await insertOrder(tx, order)
  await announce(tx, [{ type: 'order.accepted', order }])
  return { outcome: 'accepted', order }
}
