import { type Queryable, sqlStateOf } from '@malote/outbox-core/postgres'
import { IdempotencyError } from '../errors.ts'
import type { Statement } from './statement.ts'

/** Our own narrow view of an open transaction. */
export interface TransactionSteps {
  readonly sql: Queryable
  /** What the statements answered that the transaction began with, in their order. */
  readonly rows: readonly Record<string, unknown>[]
  /** Whether the savepoint of the opening has been taken, in the same round trip. */
  readonly hasSavepoint: boolean
  /** Runs the statements as the last before COMMIT, in the same round trip where the client can send two statements in one. */
  endWith(statements: readonly Statement[]): void
  /**
   * Commits only the transaction that began here. `check` fails in any other, and is the last before COMMIT; it is left out where the
   * connection itself tells that nothing has ended one.
   */
  endAsBegun(check: Statement): void
  /**
   * The result is what others have committed, and true however this transaction ends: it is told before COMMIT is answered, where the client
   * allows it. The connection goes to nobody until then.
   */
  endUnawaited(): void
}

/** What a transaction begins with, in the round trip of BEGIN where the client can send more than one statement in one. */
export interface Opening {
  /** Queries of one shape, each with one row. */
  readonly statements?: readonly Statement[]
  /** Takes the savepoint of the handler too, where it costs no round trip of its own. @defaultValue false */
  readonly withSavepoint?: boolean
}

/** What is done in a transaction, whoever opens it. */
export type Work<Result> = (open: TransactionSteps & { readonly tx: unknown }) => Promise<Result>

/** @throws always */
export function explainOpening(error: unknown): never {
  if (!['42883', '42P01', '3F000'].includes(sqlStateOf(error) ?? '')) throw error
  throw new IdempotencyError(
    'SCHEMA_MISSING',
    'the database lacks tables or functions that this release works with: run migrateIdempotency(db) before it starts',
    { cause: error },
  )
}

export function explainCommit(error: unknown): unknown {
  if (isRolledBack(sqlStateOf(error))) return error
  return new IdempotencyError(
    'COMMIT_UNKNOWN',
    'the connection was lost while the transaction committed: it may have committed or not, and only a retry can tell',
    { cause: error },
  )
}

/** Whether an error code of COMMIT proves the rollback. No code, 08xxx and 57Pxx are lost connections and prove nothing. */
function isRolledBack(state: string | undefined): boolean {
  return state !== undefined && !state.startsWith('08') && !state.startsWith('57P') && state !== '40003'
}
