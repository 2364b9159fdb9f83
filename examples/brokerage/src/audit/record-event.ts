import type { Delivery } from '@malote/outbox-core'
import type { AppliedOnce } from '../messaging/applied-once.ts'
import { orderEvent } from '../orders/order-events.ts'

/** Keeps every event of every order, whatever its type: an auditor wants the ones nobody thought of too. */
export function recordEvent(appliedOnce: AppliedOnce): (delivery: Delivery) => Promise<void> {
  return async ({ message }) => {
    const { orderId } = orderEvent.parse(message.json())
    await appliedOnce(message, async (tx) => {
      await tx
        .insertInto('audit_entries')
        .values({ order_id: orderId, event: message.type, happened_at: message.createdAt })
        .execute()
    })
  }
}
