import type { Database, Tx } from '../database/database.ts'

/**
 * Counts without trusting the library it watches: what was applied, what came twice. A demo and its tests want that; an
 * application does not need it and does not pay for it. The tables are in `migrations/` beside this file.
 */
export interface Witness {
  /** In the transaction of the effect. No unique constraint: a second effect must be seen, not prevented. */
  applied(tx: Tx, consumer: string, messageIds: readonly string[]): Promise<void>
  absorbed(db: Database, consumer: string, messageIds: readonly string[]): Promise<void>
}

export const witness: Witness = {
  applied: async (tx, consumer, messageIds) => {
    await tx
      .insertInto('applied_messages')
      .values(messageIds.map((messageId) => ({ consumer, message_id: messageId })))
      .execute()
  },
  absorbed: async (db, consumer, messageIds) => {
    await db
      .insertInto('duplicate_deliveries')
      .values(messageIds.map((messageId) => ({ consumer, message_id: messageId })))
      .execute()
  },
}
