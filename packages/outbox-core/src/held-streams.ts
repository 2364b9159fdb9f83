import { streamHash } from './consumer-store.ts'
import type { Decision } from './dead-letters.ts'
import type { DeadLettersOptions } from './dead-letters.ts'
import type { DeadLetterNote } from './dead-letter-note.ts'
import { invalidOption, numberOption } from './options.ts'
import { consumerStoreStatements } from './postgres/consumer-store-statements.ts'
import { guardPool } from './postgres/guard-pool.ts'
import { schemaOption } from './postgres/identifiers.ts'

/** A stream that a consumer with `afterDeadLetter: 'hold'` stopped behind a dead letter. */
export interface HeldStream {
  readonly consumer: string
  readonly topic: string
  readonly orderingKey: string
  readonly heldAt: Date
  /** False: an operator has decided, and the consumer handles what waits. */
  readonly isHeld: boolean
  readonly deadMessageId: string | null
  readonly deadMessageType: string | null
  /** Why it is dead. */
  readonly note: DeadLetterNote | null
  /** Messages behind the dead letter. */
  readonly waiting: number
}

/** For operators of consumers: see which streams stand still, and let them go on. */
export interface HeldStreams {
  /** Oldest first. @param filter.limit - default 100 */
  list(filter?: { readonly consumer?: string; readonly limit?: number }): Promise<readonly HeldStream[]>
  /**
   * Lets the stream go on. `retry`: with the dead letter first and a full count of attempts. `discard`: without it; the dead letter is
   * deleted. The consumer begins within a second, and handles everything that waits, in order.
   *
   * @returns whether the stream was held
   * @throws OutboxError `INVALID_OPTION`
   */
  release(
    stream: Pick<HeldStream, 'consumer' | 'topic' | 'orderingKey'>,
    what: 'retry' | 'discard',
    decision?: Decision,
  ): Promise<boolean>
}

/** @throws OutboxError `INVALID_OPTION` */
export function createHeldStreams(options: DeadLettersOptions): HeldStreams {
  const statements = consumerStoreStatements(schemaOption(options.schema))
  guardPool(options.db)
  return {
    list: async ({ consumer, limit } = {}) => {
      const values = [consumer ?? null, numberOption('limit', limit, 100, { min: 1, max: 10_000 })]
      return (await options.db.query(statements.list, values)).rows as unknown as HeldStream[]
    },
    release: async ({ consumer, topic, orderingKey }, what, { operator, reason } = {}) => {
      if (what !== 'retry' && what !== 'discard') throw invalidOption('what', what, '"retry" or "discard"')
      const values = [consumer, streamHash(topic, orderingKey), what === 'discard', operator ?? null, reason ?? null]
      return Number((await options.db.query(statements.release, values)).rows[0]?.['done']) > 0
    },
  }
}
