import { type Queryable, sqlStateOf } from '@malote/outbox-core/postgres'
import { endedByHandler, IdempotencyError, isCommitUnknown, isEndedByHandler, isTimeout } from '../../errors.ts'
import type { RequestOutcome } from '../../events.ts'
import { isUnavailable } from '../../database/unavailable.ts'
import type { HandlerSavepoint } from '../../database/handler-savepoint.ts'
import { runTransaction } from '../../database/transaction.ts'
import { fateOf, inTime } from '../../database/transaction-fate.ts'
import { currentMark, keyStatements } from '../key-statements.ts'
import type { Settings } from '../options.ts'
import type { PreparedRequest } from '../prepare.ts'
import { HandlerFailed, Undo, UndoneOutside } from './run-handler.ts'
import { retry } from '../../retry.ts'

/**
 * A transaction in which a handler runs.
 *
 * What a failed request rests on is that the rollback undoes what its handler did. A handler that runs COMMIT itself breaks it: its effects
 * stay, nothing is stored, and a retry would repeat them. So a rollback is believed only of a transaction that was still the one that claimed
 * the key. Of any other PostgreSQL is asked later what became of it. Where it committed, the key is left to an operator.
 */
export interface HandlersWork {
  readonly sql: Queryable
  /** Null: it was not taken. */
  readonly savepoint: HandlerSavepoint | null
  /** The number of the transaction that claimed; undefined without a key. */
  readonly transaction: string | undefined
  /** What the transaction that claimed is known by while it is open. */
  readonly mark: string
  /** Those whose effects are in it, with their keys. */
  readonly requests: () => readonly PreparedRequest[]
}

/** A failure whose transaction may have been ended before. */
class Unproven extends Error {
  /** It certainly was. */
  readonly isEnded: boolean
  constructor(why: unknown, isEnded: boolean) {
    super('the rollback may not have undone what the handler did', { cause: why })
    this.isEnded = isEnded
  }
}

/** Thrown when the effects of a handler stay although its request has failed. */
class EffectsWithoutRecord extends IdempotencyError {
  constructor(consequence: string, cause: unknown) {
    super(
      'NOT_A_TRANSACTION',
      `the handler ended the transaction it was given, and what it has committed stays: ${consequence}; leave COMMIT and ROLLBACK to the caller of the handler`,
      cause === undefined ? undefined : { cause },
    )
  }
}

/** How a request ended whose error is the application's to handle. */
export function outcomeOfThrown(error: unknown): RequestOutcome {
  return error instanceof EffectsWithoutRecord ? 'indeterminate' : 'rolled-back'
}

/** Undoes what a handler did, in its transaction. @throws what the transaction is to fail with when it cannot */
export async function undoHandler(work: HandlersWork): Promise<void> {
  const refusal = await refusalOf(work)
  if (refusal !== null) throw new Unproven(refusal, isEndedByHandler(refusal))
}

/** @returns what the transaction is to fail with: `why`, in an `Unproven` when its rollback may not undo everything */
export async function beforeRollback(work: HandlersWork, why: unknown): Promise<unknown> {
  // What a handler that overran still does may hold its connection.
  const refusal = isTimeout(why) ? null : await refusalOf(work)
  return refusal === null ? why : new Unproven(why, isEndedByHandler(refusal))
}

/**
 * What the requests failed with, once their transaction has ended. Where it committed, their keys are marked.
 *
 * @param work - null: no handler has run
 */
export async function afterRollback(
  settings: Settings,
  operation: string,
  work: HandlersWork | null,
  error: unknown,
): Promise<unknown> {
  const why = error instanceof Unproven ? error.cause : sqlStateOf(error) === 'ML003' ? endedByHandler(error) : error
  const isEnded = error instanceof Unproven ? error.isEnded : isEndedByHandler(why)
  if (work === null || !(isEnded || isDoubtful(error))) return why
  try {
    if (!(await leaveToOperator(settings, operation, work, isEnded))) return why
    const consequence = work.requests().length === 0 ? 'there is no key' : 'its key is an operator’s to reconcile'
    return new EffectsWithoutRecord(consequence, reasonOf(why))
  } catch (failure) {
    if (!isEnded) return why
    return new EffectsWithoutRecord(
      'its key could not be marked (see the cause), so a retry runs the handler again',
      failure,
    )
  }
}

/** @returns whether something of it stays */
async function leaveToOperator(
  settings: Settings,
  operation: string,
  { transaction, requests }: HandlersWork,
  isEnded: boolean,
): Promise<boolean> {
  if (transaction === undefined) return isEnded
  const statement = keyStatements(settings.quotedSchema).leaveToOperator
  const work = async ({ sql }: { readonly sql: Queryable }): Promise<boolean> => {
    const fate = await fateOf(sql, transaction)
    const isKept = fate === 'committed' || (isEnded && fate !== 'aborted')
    if (isKept) for (const one of requests()) await sql.query(statement, rowOf(one, operation))
    return isKept
  }
  // A pool may give out a connection once more that has just been lost.
  const asking = (): Promise<boolean> => runTransaction(settings.db, 'read committed', work)
  const asked = retry(asking, () => true, { firstMs: 20, pauses: 2 })
  return isEnded ? asked : inTime(asked)
}

/** Undoes what the handler did, if there is a savepoint. @returns null when the transaction is the one that claimed */
async function refusalOf({ sql, savepoint, mark }: HandlersWork): Promise<unknown> {
  try {
    if (savepoint !== null) await savepoint.undo()
    else if ((await sql.query(currentMark, [])).rows[0]?.['mark'] !== mark) return endedByHandler()
    return null
  } catch (error) {
    return error // It may be a statement of the handler that failed before.
  }
}

/** Whether the transaction of the error may be another than the one that claimed, or may have been ended before it was lost. */
function isDoubtful(error: unknown): boolean {
  if (isCommitUnknown(error)) return false // By the commit with its record.
  return error instanceof Unproven || isTimeout(error) || isUnavailable(error) || sqlStateOf(error) === '25P02'
}

/** A response that was to be sent is no reason. */
function reasonOf(why: unknown): unknown {
  if (why instanceof HandlerFailed) return why.cause
  return why instanceof Undo || why instanceof UndoneOutside ? undefined : why
}

function rowOf(request: PreparedRequest, operation: string): unknown[] {
  const { tenant, keyHash, subjectHash, fingerprint } = request
  return [tenant, keyHash, subjectHash(), fingerprint.version, fingerprint.digest, operation]
}
