import type { BatchResult, Inbox } from '@malote/idempotency'
import { type Delivery, inBatches, type InBatchesOptions, type ReceivedMessage } from '@malote/outbox-core'
import type pg from 'pg'
import { createDatabase, type Tx } from '../database/database.ts'
import { joinTransaction } from '../database/join-transaction.ts'
import type { Witness } from '../witness/witness.ts'
import { batching } from './batching.ts'

/**
 * Makes an effect on many messages into a function that applies some: in a transaction, unless this consumer has committed them
 * before. Messages that are ready at the same time share the transaction, those of one account among them.
 */
export type ApplyOnce = <Input>(effect: Effect<Input>) => Apply<Input>
export type Effect<Input> = (tx: Tx, inputs: readonly Input[]) => Promise<void>

/**
 * Applies messages that must keep their order, or one alone.
 *
 * @returns one outcome each; fulfilled: acknowledge. What follows a failed one has not been applied
 */
export type Apply<Input> = (received: readonly Received<Input>[]) => Promise<Outcomes>
export type Outcomes = readonly PromiseSettledResult<void>[]

/** A message, and what its consumer has made of it. */
export interface Received<Input> {
  readonly delivery: Delivery
  readonly input: Input
}

/**
 * What every consumer of the brokerage wraps its effect in: the inbox's rows, the effects, and the messages they add
 * are one commit. `createBatchHandler` of `@malote/idempotency` is this without the witness, and without the company of other streams for
 * a whole one.
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
    const apply = inBatches(async (groups: readonly (readonly Item<Input>[])[]) => {
      const items = groups.flat()
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
      return outcomesOf(groups, results)
    }, options)
    return async (received) => {
      for (const { delivery } of received) delivery.signal.throwIfAborted()
      return apply(received.map(itemOf))
    }
  }
}

interface Item<Input> {
  readonly messageId: string
  readonly occurredAt: Date
  readonly stream?: string
  readonly input: Input
}

const idOf = ({ messageId }: Item<unknown>): string => messageId

const itemOf = <Input>({ delivery: { message }, input }: Received<Input>): Item<Input> => ({
  messageId: message.id,
  occurredAt: message.createdAt,
  ...streamOf(message),
  input,
})

const streamOf = ({ topic, orderingKey }: ReceivedMessage): { readonly stream?: string } =>
  orderingKey === null ? {} : { stream: JSON.stringify([topic, orderingKey]) }

/** @param results - of all groups, one group behind the other */
function outcomesOf(
  groups: readonly (readonly unknown[])[],
  results: readonly BatchResult[],
): readonly PromiseSettledResult<Outcomes>[] {
  let next = 0
  return groups.map((group) => ({
    status: 'fulfilled',
    value: group.map(() => outcomeOf(results[next++] as BatchResult)),
  }))
}

const outcomeOf = (result: BatchResult): PromiseSettledResult<void> =>
  typeof result === 'string' ? { status: 'fulfilled', value: undefined } : { status: 'rejected', reason: result.failed }
