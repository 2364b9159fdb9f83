import { sql } from 'kysely'
import type { Listener } from './tell-listeners.ts'

/** Compliance: an alert for every order that must be reported. Which ones must, `antifraud.ts` says when an order is placed. */
export const raiseAlert: Listener = async (tx, told) => {
  const orders = told.flatMap(({ type, order }) => (type === 'order.large' ? [order] : []))
  if (orders.length === 0) return
  await sql`
    insert into compliance_alerts (account_id, order_id, amount_centavos)
    select "accountId", "orderId", "amountCentavos" from json_to_recordset(${JSON.stringify(orders)}::json)
      as given ("accountId" text, "orderId" uuid, "amountCentavos" bigint)`.execute(tx)
}
