import type { DeadLettersOptions } from './dead-letters.ts'
import { numberOption } from './options.ts'
import { guardPool } from './postgres/guard-pool.ts'
import { schemaOption } from './postgres/identifiers.ts'
import { operatorStatements } from './postgres/operator-statements.ts'

/** What an operator decided, or a relay by its options. Noted in the statement that did it; a purge of anything but dead letters is noted beside it. */
export interface OperatorAction {
  readonly operatorActionId: string
  readonly at: Date
  /** Who the operator said to be. */
  readonly operator: string
  /** The role that the database knows. */
  readonly databaseRole: string
  readonly action: 'replay' | 'discard' | 'purge' | 'hold' | 'release' | 'pause' | 'resume'
  /** What was decided about: ids, topic and ordering key of each, never a body. */
  readonly target: readonly Readonly<Record<string, unknown>>[]
  readonly reason: string | null
  readonly affected: number
}

/** Who decided what about dead letters, keys, streams and topics, or purged what was old, newest first. @param options.limit - default 100 */
export async function listOperatorActions(
  options: DeadLettersOptions & { readonly limit?: number },
): Promise<readonly OperatorAction[]> {
  guardPool(options.db)
  const limit = numberOption('limit', options.limit, 100, { min: 1, max: 10_000 })
  const { listOperatorActions: statement } = operatorStatements(schemaOption(options.schema))
  return (await options.db.query(statement, [limit])).rows as unknown as OperatorAction[]
}
