import type { DeadLettersOptions } from './dead-letters.ts'
import type { MessageId } from './message.ts'
import { explainStatement } from './postgres/explain-statement.ts'
import { guardPool } from './postgres/guard-pool.ts'
import { schemaOption } from './postgres/identifiers.ts'
import { sqlStateOf } from './postgres/queryable.ts'

/** What a replay of a dead letter would do at one consumer. */
export interface ReplayExplanation {
  readonly deadLetterId: string
  readonly id: MessageId
  /** As the consumer's inbox names it. */
  readonly consumer: string
  /**
   * `applied`: it has the message, and would drop it as a duplicate. `not applied`: it would apply it. `forgotten`: its inbox no longer
   * knows, and would refuse it as stale.
   */
  readonly outcome: 'applied' | 'not applied' | 'forgotten'
  readonly appliedAt: Date | null
}

/**
 * Asks the inboxes of this database what a replay of dead letters would do: one answer for each dead letter and each consumer that
 * ever applied anything, also one that never gets the message. Consumers with another database, or without an inbox, are not known here.
 *
 * @returns null when there is no inbox in the schema, or this role may not read it: then nothing is known
 */
export async function explainReplay(
  options: DeadLettersOptions,
  deadLetterIds: readonly string[],
): Promise<readonly ReplayExplanation[] | null> {
  guardPool(options.db)
  try {
    const { rows } = await options.db.query(explainStatement(schemaOption(options.schema)), [deadLetterIds])
    return rows as unknown as ReplayExplanation[]
  } catch (error) {
    if (sqlStateOf(error) === '42P01' || sqlStateOf(error) === '42501') return null
    throw error
  }
}

/** The first of them that an inbox has forgotten, and whose replay that consumer would refuse; null when there is none. */
export async function forgottenAmong(
  options: DeadLettersOptions,
  deadLetterIds: readonly string[],
): Promise<ReplayExplanation | null> {
  const explained = (await explainReplay(options, deadLetterIds)) ?? []
  return explained.find(({ outcome }) => outcome === 'forgotten') ?? null
}
