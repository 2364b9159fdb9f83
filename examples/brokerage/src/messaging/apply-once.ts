import type { BatchResult, Inbox } from '@malote/idempotency'
import { type Delivery, inBatches, type InBatchesOptions } from '@malote/outbox-core'
import type pg from 'pg'
import { createDatabase, type Tx } from '../database/database.ts'
import { joinTransaction } from '../database/join-transaction.ts'
import type { Witness } from '../witness/witness.ts'
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
 * are one commit. `createBatchHandler` of `@malote/idempotency` is this without the witness.
 */
export function createApplyOnce(
  pool: pg.Pool,
  inbox: Inbox,
  consumer: string,
  witness: Witness | null = null,
  options: InBatchesOptions = batching,
): ApplyOnce {
  const db = createDatabase(pool)
  return <Input>(effect: Effect<Input>): Apply<Input> => {
    const apply = inBatches(async (items: readonly Item<Input>[]) => {
      const results = await inbox.transactBatch(pool, consumer, items, (client, fresh) =>
        joinTransaction(client, async (tx) => {
          await effect(
            tx,
            fresh.map(({ input }) => input),
          )
          await witness?.applied(tx, consumer, fresh.map(idOf))
        }),
      )
      const duplicates = items.filter((_, at) => results[at] === 'duplicate')
      if (duplicates.length > 0) await witness?.absorbed(db, consumer, duplicates.map(idOf))
      return results.map(outcomeOf)
    }, options)
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

const idOf = ({ messageId }: Item<unknown>): string => messageId

const outcomeOf = (result: BatchResult): PromiseSettledResult<void> =>
  typeof result === 'string' ? { status: 'fulfilled', value: undefined } : { status: 'rejected', reason: result.failed }
