import type { DeadLettersOptions, Decision } from './dead-letters.ts'
import { numberOption } from './options.ts'
import { guardPool } from './postgres/guard-pool.ts'
import { schemaOption } from './postgres/identifiers.ts'
import { operatorStatements } from './postgres/operator-statements.ts'
import { type Steering, steeringOf } from './topics.ts'

/** An ordering key that waits for an operator because a message of it is dead, or because an operator held it. */
export interface HeldKey {
  readonly topic: string
  readonly orderingKey: string
  /** What to replay or discard; null when the key was held by hand. */
  readonly deadLetterId: string | null
  readonly heldAt: Date
  /** Who held it by hand; null for a key that the relay holds behind a dead letter. */
  readonly heldBy: string | null
  /** Why, in that person's words. */
  readonly reason: string | null
  /** Messages waiting behind. */
  readonly waiting: number
}

/** For operators: see which keys stand still and let them go on. */
export interface HeldKeys {
  /** Oldest first. @param options.limit - default 100 */
  list(options?: { readonly limit?: number }): Promise<readonly HeldKey[]>
  /**
   * Holds the key by hand: nothing of it is published until `release`, from when the relays have heard of it, which is at once
   * where they are notified and within seconds where not. What is in flight ends.
   *
   * @returns false when it was held already
   * @throws OutboxError `INVALID_OPTION`
   */
  hold(topic: string, orderingKey: string, steering: Steering): Promise<boolean>
  /** Lets the key go on without its dead letter, which stays where it is. @returns whether the key was held */
  release(topic: string, orderingKey: string, decision?: Decision): Promise<boolean>
}

/** @throws OutboxError `INVALID_OPTION` */
export function createHeldKeys(options: DeadLettersOptions): HeldKeys {
  const schema = schemaOption(options.schema)
  const statements = operatorStatements(schema)
  guardPool(options.db)
  return {
    list: async ({ limit } = {}) => {
      const values = [numberOption('limit', limit, 100, { min: 1, max: 10_000 })]
      return (await options.db.query(statements.listHeldKeys, values)).rows as unknown as HeldKey[]
    },
    hold: async (topic, orderingKey, steering) => {
      const values = [topic, orderingKey, ...steeringOf(steering), schema]
      return Number((await options.db.query(statements.holdKey, values)).rows[0]?.['done']) > 0
    },
    release: async (topic, orderingKey, { operator, reason } = {}) => {
      const values = [topic, orderingKey, operator ?? null, reason ?? null, schema]
      const { rows } = await options.db.query(statements.releaseHeldKey, values)
      return Number(rows[0]?.['done']) > 0
    },
  }
}
