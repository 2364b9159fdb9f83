import { PermanentFailure } from '@malote/outbox-core'
import { type Queryable, sqlStateOf } from '@malote/outbox-core/postgres'
import { endedByHandler, isCommitUnknown, isEndedByHandler } from '../errors.ts'
import { type Database, runTransaction } from '../database/transaction.ts'
import { fateOf, inTime } from '../database/transaction-fate.ts'

/**
 * A handler that runs COMMIT itself keeps its effects and the proof that the message was applied, whatever it does afterwards: a redelivery
 * would be a duplicate, acknowledged, and what the handler had still to do would be lost in silence. So its message is dead-lettered
 * at once, where somebody sees it. One that runs ROLLBACK has no proof: its message comes again.
 */
export class EffectsWithProof extends PermanentFailure {
  readonly code = 'NOT_A_TRANSACTION'
  constructor(cause: unknown) {
    super(
      'the handler ended the transaction it was given, and what it has committed stays, with the proof that its message was applied: a redelivery counts as a duplicate; leave COMMIT and ROLLBACK to the caller of the handler',
      { cause },
    )
  }
}

/** @returns what `assertStillIn` has failed with, as the handler is told it */
export function explainEnd(error: unknown): unknown {
  return sqlStateOf(error) === '22012' ? endedByHandler(error) : error
}

/** What a handler failed with, on the connection it had. @returns undefined when that does not tell what became of its transaction */
export async function judgeInside(sql: Queryable, transaction: string, error: unknown): Promise<unknown> {
  try {
    const fate = await fateOf(sql, transaction)
    return fate === 'committed' ? new EffectsWithProof(error) : error
  } catch {
    return undefined // A statement of the handler had failed, in whatever transaction, or the connection is gone.
  }
}

/** The same once the connection has been given back, for what it could not tell. A commit that is unknown is the one with the proof. */
export async function judgeAfterwards(db: Database, transaction: string, error: unknown): Promise<unknown> {
  if (isCommitUnknown(error)) return error
  try {
    const asked = runTransaction(db, 'read committed', (later) => fateOf(later.sql, transaction))
    const fate = await inTime(asked)
    return fate === 'committed' ? new EffectsWithProof(error) : error
  } catch {
    // Nobody can be asked. That the transaction was ended is enough for not trying again.
    return isEndedByHandler(error) ? new EffectsWithProof(error) : error
  }
}
