import { type DeliveryHandler, UnknownTypeError } from '@malote/outbox-core'
import { sql } from 'kysely'
import type { ApplyOnce } from '../messaging/apply-once.ts'
import { formatBrl } from '../money.ts'
import { orderEvent, type OrderEvent } from '../orders/order-events.ts'
import type { Notification, Notifier } from './notifier.ts'

const texts: Readonly<Record<string, (order: OrderEvent) => string>> = {
  'order.settled': (order) => `Your ${describe(order)} was filled.`,
  'order.compensated': (order) => `Your ${describe(order)} was not filled (${order.reason ?? 'no reason given'}).`,
  'order.cancelled': (order) => `Your ${describe(order)} was cancelled.`,
  'order.undecided': (order) => `Your ${describe(order)} takes longer than usual. Somebody is looking after it.`,
}

/**
 * Tells the customer how an order ended. The row is what the customer sees on signing in; a message applied twice would be a second
 * one. Where there is a notifier, it is told first: a row says that the customer was reached.
 */
export function notifyCustomer(applyOnce: ApplyOnce, notifier: Notifier | null = null): DeliveryHandler {
  const send = applyOnce<Notification>(async (tx, notifications) => {
    await sql`
      insert into notifications (account_id, order_id, text)
      select "accountId", "orderId", text from json_to_recordset(${JSON.stringify(notifications)}::json)
        as given ("accountId" text, "orderId" uuid, text text)`.execute(tx)
  })
  return async (delivery) => {
    const text = texts[delivery.message.type]
    if (text === undefined) throw new UnknownTypeError(delivery.message.type)
    const order = orderEvent.parse(delivery.message.json())
    const notification = { accountId: order.accountId, orderId: order.orderId, text: text(order) }
    await notifier?.send(delivery.message.id, notification, delivery.signal)
    await send(delivery, notification)
  }
}

function describe({ side, asset, amountCentavos }: OrderEvent): string {
  return `${side === 'BUY' ? 'purchase' : 'sale'} of ${formatBrl(amountCentavos)} in ${asset}`
}
