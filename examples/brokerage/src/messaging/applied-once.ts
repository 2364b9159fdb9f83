import type { Inbox } from '@malote/idempotency'
import type { ReceivedMessage } from '@malote/outbox-core'
import type { Database, Tx } from '../database/database.ts'

/** Runs the effect of a message in a transaction, unless this consumer has committed it before. Resolved: acknowledge. */
export type AppliedOnce = (message: ReceivedMessage, effect: (tx: Tx) => Promise<void>) => Promise<void>

/**
 * What every consumer of the brokerage wraps its effect in: the inbox's row, the effect, and the messages the effect adds
 * are one commit. Beside it the demo's witnesses note what was applied and what was absorbed (migration 0002).
 */
export function createAppliedOnce(db: Database, inbox: Inbox, consumer: string): AppliedOnce {
  return async (message, effect) => {
    const id = message.id
    const result = await inbox.transact(db, { consumer, messageId: id, occurredAt: message.createdAt }, async (tx) => {
      await effect(tx)
      await tx.insertInto('applied_messages').values({ consumer, message_id: id }).execute()
    })
    if (result === 'duplicate')
      await db.insertInto('duplicate_deliveries').values({ consumer, message_id: id }).execute()
  }
}
