import type { DeliveryHandler } from '@malote/outbox-core'
import { sql } from 'kysely'
import type { ApplyOnce } from '../messaging/apply-once.ts'
import { type Centavos } from '../money.ts'
import { orderEvent, type OrderEvent } from '../orders/order-events.ts'

/** Orders above this are reported. */
export const alertAboveCentavos: Centavos = 10_000_000

/** Compliance: an alert for every order above R$ 100,000. Looks at each accepted order; what is smaller leaves no row. */
export function raiseAlert(applyOnce: ApplyOnce): DeliveryHandler {
  const raise = applyOnce<OrderEvent>(async (tx, orders) => {
    const large = orders.filter(({ amountCentavos }) => amountCentavos > alertAboveCentavos)
    if (large.length === 0) return
    await sql`
      insert into compliance_alerts (account_id, order_id, amount_centavos)
      select "accountId", "orderId", "amountCentavos" from json_to_recordset(${JSON.stringify(large)}::json)
        as given ("accountId" text, "orderId" uuid, "amountCentavos" bigint)`.execute(tx)
  })
  return (delivery) => raise(delivery, orderEvent.parse(delivery.message.json()))
}
