import { type DeliveryHandler, UnknownTypeError } from '@malote/outbox-core'
import { sql } from 'kysely'
import type { ApplyOnce } from '../messaging/apply-once.ts'
import { formatBrl } from '../money.ts'
import { orderEvent, type OrderEvent } from '../orders/order-events.ts'

const texts: Readonly<Record<string, (order: OrderEvent) => string>> = {
  'order.settled': (order) => `Your ${describe(order)} was filled.`,
  'order.compensated': (order) => `Your ${describe(order)} was not filled (${order.reason ?? 'no reason given'}).`,
  'order.cancelled': (order) => `Your ${describe(order)} was cancelled.`,
  'order.undecided': (order) => `Your ${describe(order)} takes longer than usual. Somebody is looking after it.`,
}

interface Notification {
  readonly accountId: string
  readonly orderId: string
  readonly text: string
}

/** Tells the customer how an order ended. The "e-mail" is a row, so a message applied twice would be a second e-mail. */
export function notifyCustomer(applyOnce: ApplyOnce): DeliveryHandler {
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
    await send(delivery, { accountId: order.accountId, orderId: order.orderId, text: text(order) })
  }
}

function describe({ side, asset, amountCentavos }: OrderEvent): string {
  return `${side === 'BUY' ? 'purchase' : 'sale'} of ${formatBrl(amountCentavos)} in ${asset}`
}
