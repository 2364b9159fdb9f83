import type { DeliveryHandler } from '@malote/outbox-core'
import type { Insertable } from 'kysely'
import type { Tables } from '../database/database.ts'
import type { ApplyOnce } from '../messaging/apply-once.ts'
import { orderEvent } from '../orders/order-events.ts'

/**
 * What was announced in the end, as somebody outside heard it. Keeps every such event, whatever its type: an auditor wants the ones
 * nobody thought of too, and can hold them against the history, which says who did what on the way there.
 */
export function recordEvent(applyOnce: ApplyOnce): DeliveryHandler {
  const record = applyOnce<Insertable<Tables['audit_entries']>>(async (tx, entries) => {
    await tx.insertInto('audit_entries').values(entries).execute()
  })
  return async (delivery) => {
    const { message } = delivery
    const { orderId, accountId } = orderEvent.parse(message.json())
    await record(delivery, {
      order_id: orderId,
      account_id: accountId,
      event: message.type,
      happened_at: message.createdAt,
    })
  }
}
