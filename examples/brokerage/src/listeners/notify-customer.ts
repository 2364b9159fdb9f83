import { type DeliveryHandler, UnknownTypeError } from '@malote/outbox-core'
import type { Insertable } from 'kysely'
import type { Tables } from '../database/database.ts'
import type { ApplyOnce } from '../messaging/apply-once.ts'
import { formatBrl } from '../money.ts'
import { orderEvent, type OrderEvent } from '../orders/order-events.ts'

const texts: Readonly<Record<string, (order: OrderEvent) => string>> = {
  'order.settled': (order) => `Your ${describe(order)} was filled.`,
  'order.compensated': (order) => `Your ${describe(order)} was not filled (${order.reason ?? 'no reason given'}).`,
  'order.cancelled': (order) => `Your ${describe(order)} was cancelled.`,
  'order.undecided': (order) => `Your ${describe(order)} takes longer than usual. Somebody is looking after it.`,
}

/** Tells the customer how an order ended. The "e-mail" is a row, so a message applied twice would be a second e-mail. */
export function notifyCustomer(applyOnce: ApplyOnce): DeliveryHandler {
  const send = applyOnce<Insertable<Tables['notifications']>>(async (tx, notifications) => {
    await tx.insertInto('notifications').values(notifications).execute()
  })
  return async (delivery) => {
    const text = texts[delivery.message.type]
    if (text === undefined) throw new UnknownTypeError(delivery.message.type)
    const order = orderEvent.parse(delivery.message.json())
    await send(delivery, { account_id: order.accountId, order_id: order.orderId, text: text(order) })
  }
}

function describe({ side, asset, amountCentavos }: OrderEvent): string {
  return `${side === 'BUY' ? 'purchase' : 'sale'} of ${formatBrl(amountCentavos)} in ${asset}`
}
