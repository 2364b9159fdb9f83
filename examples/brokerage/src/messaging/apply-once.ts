import type { BatchResult, Inbox } from '@malote/idempotency'
import { type Delivery, inBatches } from '@malote/outbox-core'
import type { Database, Tx } from '../database/database.ts'
import { batching } from './batching.ts'

/**
 * Makes an effect on many messages into a function that applies one: in a transaction, unless this consumer has committed it
 * before. Messages that are ready at the same time share the transaction. Resolved: acknowledge.
 */
export type ApplyOnce = <Input>(effect: Effect<Input>) => Apply<Input>
export type Effect<Input> = (tx: Tx, inputs: readonly Input[]) => Promise<void>
export type Apply<Input> = (delivery: Delivery, input: Input) => Promise<void>

/**
 * What every consumer of the brokerage wraps its effect in: the inbox's rows, the effects, and the messages they add
 * are one commit. Beside it the demo's witnesses note what was applied and what was absorbed (migration 0002).
 *
 * `createBatchHandler` of `@malote/idempotency` is this without the witnesses.
 */
export function createApplyOnce(db: Database, inbox: Inbox, consumer: string): ApplyOnce {
  return <Input>(effect: Effect<Input>): Apply<Input> => {
    const apply = inBatches(async (items: readonly Item<Input>[]) => {
      const results = await inbox.transactBatch(db, consumer, items, async (tx, fresh) => {
        await effect(
          tx,
          fresh.map(({ input }) => input),
        )
        await tx
          .insertInto('applied_messages')
          .values(fresh.map(({ messageId }) => ({ consumer, message_id: messageId })))
          .execute()
      })
      const duplicates = items.filter((_, at) => results[at] === 'duplicate')
      if (duplicates.length > 0)
        await db
          .insertInto('duplicate_deliveries')
          .values(duplicates.map(({ messageId }) => ({ consumer, message_id: messageId })))
          .execute()
      return results.map(outcomeOf)
    }, batching)
    return async ({ message, signal }, input) => {
      signal.throwIfAborted()
      await apply({ messageId: message.id, occurredAt: message.createdAt, input })
    }
  }
}

interface Item<Input> {
  readonly messageId: string
  readonly occurredAt: Date
  readonly input: Input
}

const outcomeOf = (result: BatchResult): PromiseSettledResult<void> =>
  typeof result === 'string' ? { status: 'fulfilled', value: undefined } : { status: 'rejected', reason: result.failed }
