import type { DeliveryHandler } from '@malote/outbox-core'
import { sql } from 'kysely'
import type { ApplyOnce } from '../messaging/apply-once.ts'
import { orderEvent } from '../orders/order-events.ts'

interface Entry {
  readonly orderId: string
  readonly accountId: string
  readonly event: string
  readonly happenedAt: Date
}

/**
 * What was announced in the end, as somebody outside heard it. Keeps every such event, whatever its type: an auditor wants the ones
 * nobody thought of too, and can hold them against the history, which says who did what on the way there.
 */
export function recordEvent(applyOnce: ApplyOnce): DeliveryHandler {
  const record = applyOnce<Entry>(async (tx, entries) => {
    await sql`
      insert into audit_entries (order_id, account_id, event, happened_at)
      select "orderId", "accountId", event, "happenedAt" from json_to_recordset(${JSON.stringify(entries)}::json)
        as given ("orderId" uuid, "accountId" text, event text, "happenedAt" timestamptz)`.execute(tx)
  })
  return async (delivery) => {
    const { message } = delivery
    const { orderId, accountId } = orderEvent.parse(message.json())
    await record(delivery, { orderId, accountId, event: message.type, happenedAt: message.createdAt })
  }
}
