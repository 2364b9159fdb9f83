import { type Queryable, sqlStateOf } from '@malote/outbox-core/postgres'
import { endedByHandler } from '../errors.ts'

const name = 'malote_handler'

/** For the round trip that opens a transaction. */
export const takeHandlerSavepoint: string = `savepoint ${name}`

/** The point in a transaction to which everything a handler did can be undone, while what was before it stays. */
export interface HandlerSavepoint {
  /** Before a handler runs: the point is where the transaction is now. */
  take(): Promise<void>
  /**
   * Undoes what was done since, and stays there: the next `take` costs nothing.
   *
   * @throws IdempotencyError `NOT_A_TRANSACTION` when the transaction is not there any more, or is one that was begun since
   */
  undo(): Promise<void>
}

/** @param isHere - whether the transaction was opened with the savepoint, and nothing was written since */
export function createHandlerSavepoint(sql: Queryable, isHere = false): HandlerSavepoint {
  let [here, taken] = [isHere, isHere]
  return {
    take: async () => {
      if (!here && taken) await sql.query(`release savepoint ${name}`, [])
      if (!here) await sql.query(takeHandlerSavepoint, [])
      taken = true
      here = false
    },
    undo: async () => {
      await sql.query(`rollback to savepoint ${name}`, []).catch((error: unknown) => {
        // No transaction, or one without our savepoint.
        throw ['25P01', '3B001'].includes(sqlStateOf(error) ?? '') ? endedByHandler(error) : error
      })
      here = true
    },
  }
}
