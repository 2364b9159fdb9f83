import { type Delivery, type DeliveryHandler, inBatches } from '@malote/outbox-core'
import type { Exchange, ExchangeOutcome } from '../b3/exchange-client.ts'
import { lockAccounts } from '../balances/ledger.ts'
import type { Database } from '../database/database.ts'
import type { ApplyOnce } from '../messaging/apply-once.ts'
import { batching } from '../messaging/batching.ts'
import { announce, orderEvent } from './order-events.ts'
import type { Order, OrderStatus } from './order.ts'
import { advance, mustAdvance, statusesOf } from './order-store.ts'

export interface ExecuteOrderOptions {
  readonly db: Database
  readonly exchange: Exchange
  readonly applyOnce: ApplyOnce
  /** Attempts to reach the exchange before the order is withdrawn and its customer gets the reservation back. */
  readonly giveUpAfter: number
}

interface Answer {
  readonly order: Order
  /** Null: cancelled in time, or answered on an earlier delivery. Nothing is left to do. */
  readonly outcome: ExchangeOutcome | null
}

/**
 * Handles `order.accepted`: sends the order to the exchange and records the answer. Three steps, each safe to repeat:
 *
 * 1. A small commit marks the order as sent, which ends the customer's chance to cancel.
 * 2. The exchange is called, outside any transaction, with the order's id as its client order id: however often this
 *    message is delivered, the exchange knows the order and answers the same.
 * 3. The answer, the inbox's row and the next messages are one commit.
 *
 * Orders of different accounts are at the exchange side by side; steps 1 and 3 take those that are ready together.
 */
export function executeOrder(options: ExecuteOrderOptions): DeliveryHandler {
  const markSent = inBatches((orderIds: readonly string[]) => markAllSent(options.db, orderIds), batching)
  const record = options.applyOnce<Answer>(async (tx, answers) => {
    const answered = answers.flatMap(({ order, outcome }) => (outcome === null ? [] : [{ order, outcome }]))
    if (answered.length === 0) return
    await lockAccounts(
      tx,
      answered.map(({ order }) => order.accountId),
    )
    await mustAdvance(
      tx,
      answered.map(({ order, outcome }) => ({ orderId: order.orderId, to: outcome.status, reason: reasonOf(outcome) })),
    )
    await announce(
      tx,
      answered.map(({ order, outcome }) => ({ type: `order.${outcome.status}`, order, reason: reasonOf(outcome) })),
    )
  })
  return async (delivery) => {
    const order = orderEvent.parse(delivery.message.json())
    const status = await markSent(order.orderId)
    const outcome = status === 'sent' ? await ask(options, order, delivery) : null
    await record(delivery, { order, outcome })
  }
}

const reasonOf = (outcome: ExchangeOutcome): string | null => (outcome.status === 'filled' ? null : outcome.reason)

/** @returns each order's status afterwards, or that it has a message but no row */
async function markAllSent(
  db: Database,
  orderIds: readonly string[],
): Promise<readonly PromiseSettledResult<OrderStatus>[]> {
  const moved = await advance(
    db,
    orderIds.map((orderId) => ({ orderId, to: 'sent' })),
  )
  const others = orderIds.filter((orderId) => !moved.has(orderId))
  const statuses = others.length === 0 ? null : await statusesOf(db, others)
  return orderIds.map((orderId) => {
    const value = moved.has(orderId) ? 'sent' : statuses?.get(orderId)
    return value === undefined
      ? { status: 'rejected', reason: new Error(`order ${orderId} has a message but no row`) }
      : { status: 'fulfilled', value }
  })
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
