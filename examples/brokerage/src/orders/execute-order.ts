import type { Delivery } from '@malote/outbox-core'
import type { Exchange, ExchangeOutcome } from '../b3/exchange-client.ts'
import { lockAccount } from '../balances/ledger.ts'
import type { Database } from '../database/database.ts'
import type { AppliedOnce } from '../messaging/applied-once.ts'
import { announce, orderEvent } from './order-events.ts'
import type { Order } from './order.ts'
import { advance, findOrder, mustAdvance } from './order-store.ts'

export interface ExecuteOrderOptions {
  readonly db: Database
  readonly exchange: Exchange
  readonly appliedOnce: AppliedOnce
  /** Attempts to reach the exchange before the order is withdrawn and its customer gets the reservation back. */
  readonly giveUpAfter: number
}

/**
 * Handles `order.accepted`: sends the order to the exchange and records the answer. Three steps, each safe to repeat:
 *
 * 1. A small commit marks the order as sent, which ends the customer's chance to cancel.
 * 2. The exchange is called, outside any transaction, with the order's id as its client order id: however often this
 *    message is delivered, the exchange knows the order and answers the same.
 * 3. The answer, the inbox's row and the next messages are one commit.
 */
export function executeOrder(options: ExecuteOrderOptions): (delivery: Delivery) => Promise<void> {
  const { db, appliedOnce } = options
  return async (delivery) => {
    const order = orderEvent.parse(delivery.message.json())
    const status = await markSent(db, order.orderId)
    const outcome = status === 'sent' ? await ask(options, order, delivery) : null
    await appliedOnce(delivery.message, async (tx) => {
      if (outcome === null) return // Cancelled in time, or answered on an earlier delivery: nothing is left to do.
      await lockAccount(tx, order.accountId)
      if (outcome.status === 'filled') {
        await mustAdvance(tx, order.orderId, 'filled')
        await announce(tx, 'order.filled', order)
      } else {
        await mustAdvance(tx, order.orderId, 'rejected', outcome.reason)
        await announce(tx, 'order.rejected', order, outcome.reason)
      }
    })
  }
}

/** @returns the order's status afterwards */
async function markSent(db: Database, orderId: string): Promise<string> {
  if (await advance(db, orderId, 'sent')) return 'sent'
  const order = await findOrder(db, orderId)
  if (order === undefined) throw new Error(`order ${orderId} has a message but no row`)
  return order.status
}

/**
 * Gives up only when the exchange itself confirms that the order is withdrawn. An exchange that does not answer may have
 * filled it, and money given back for a filled order is lost: until it answers, the message is delivered again.
 */
async function ask(options: ExecuteOrderOptions, order: Order, delivery: Delivery): Promise<ExchangeOutcome> {
  try {
    return await options.exchange.execute(order, delivery.signal)
  } catch (error) {
    if (delivery.attempt < options.giveUpAfter) throw error
    return options.exchange.withdraw(order, delivery.signal)
  }
}
