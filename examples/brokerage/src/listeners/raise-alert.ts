import { type DeliveryHandler, UnknownTypeError } from '@malote/outbox-core'
import { sql } from 'kysely'
import type { ApplyOnce } from '../messaging/apply-once.ts'
import { orderEvent, type OrderEvent } from '../orders/order-events.ts'

/** Compliance: an alert for every order that must be reported. Which ones must, `antifraud.ts` says when an order is placed. */
export function raiseAlert(applyOnce: ApplyOnce): DeliveryHandler {
  const raise = applyOnce<OrderEvent>(async (tx, orders) => {
    await sql`
      insert into compliance_alerts (account_id, order_id, amount_centavos)
      select "accountId", "orderId", "amountCentavos" from json_to_recordset(${JSON.stringify(orders)}::json)
        as given ("accountId" text, "orderId" uuid, "amountCentavos" bigint)`.execute(tx)
  })
  return async (delivery) => {
    const { type } = delivery.message
    if (type !== 'order.large') throw new UnknownTypeError(type)
    await raise(delivery, orderEvent.parse(delivery.message.json()))
  }
}
