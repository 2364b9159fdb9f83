import type { Queryable } from '@malote/outbox-core/postgres'

/** Its name in SQL, for the round trip that opens a transaction. */
export const handlerSavepoint = 'malote_handler'

/** The point in a transaction to which everything a handler did can be undone, while what was before it stays. */
export interface HandlerSavepoint {
  /** Before a handler runs: the point is where the transaction is now. */
  take(): Promise<void>
  /** Undoes what was done since, and stays there: the next `take` costs nothing. */
  undo(): Promise<void>
}

/** @param isHere - whether the transaction was opened with the savepoint, and nothing was written since */
export function createHandlerSavepoint(sql: Queryable, isHere = false): HandlerSavepoint {
  let [here, taken] = [isHere, isHere]
  const run = (text: string): Promise<unknown> => sql.query(`${text} ${handlerSavepoint}`, [])
  return {
    take: async () => {
      if (!here && taken) await run('release savepoint')
      if (!here) await run('savepoint')
      taken = true
      here = false
    },
    undo: async () => {
      await run('rollback to savepoint')
      here = true
    },
  }
}
