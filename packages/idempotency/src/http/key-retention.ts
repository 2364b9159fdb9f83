import type { Settings } from './options.ts'
import { retentionStatements } from '../database/retention-statements.ts'
import { type Database, runTransaction } from '../database/transaction.ts'

export interface PurgeOptions {
  /** Rows changed in one transaction. @defaultValue 1_000 */
  readonly batchSize?: number
  /** Transactions at the most; the next run goes on. @defaultValue 1_000 */
  readonly maxBatches?: number
}

/** What is removed when its time has come, or when a person asks for it. */
export interface KeyRetention {
  /** Deletes expired keys and the bodies that are past their time. Any number of replicas may run it at once. */
  purge(options?: PurgeOptions): Promise<{ readonly keys: number; readonly bodies: number }>

  /**
   * Deletes every finished key of a subject with its stored response: a retry that comes later runs again.
   *
   * @returns how many were forgotten, and how many are unfinished and stay: resolve them and call again
   */
  forgetSubject(tenant: string, subject: string): Promise<{ readonly forgotten: number; readonly unfinished: number }>
}

export function createKeyRetention<Db extends Database, Context>(settings: Settings<Db, Context>): KeyRetention {
  const statements = retentionStatements(settings.quotedSchema)

  async function inBatches(
    statement: string,
    { batchSize = 1_000, maxBatches = 1_000 }: PurgeOptions,
  ): Promise<number> {
    let total = 0
    for (let batch = 0; batch < maxBatches; batch++) {
      const { rows } = await runTransaction(settings.db, 'read committed', ({ sql }) =>
        sql.query(statement, [batchSize]),
      )
      total += rows.length
      if (rows.length < batchSize) break
    }
    return total
  }

  return {
    purge: async (options = {}) => {
      const keys = await inBatches(statements.deleteKeys, options)
      const bodies = await inBatches(statements.deleteBodies, options)
      settings.report({ type: 'keys.purged', keys, bodies })
      return { keys, bodies }
    },
    forgetSubject: async (tenant, subject) => {
      const values = [tenant, settings.hasher.subjectHashes(tenant, subject)]
      const { rows } = await runTransaction(settings.db, 'read committed', ({ sql }) =>
        sql.query(statements.forgetSubject, values),
      )
      return { forgotten: Number(rows[0]?.['forgotten']), unfinished: Number(rows[0]?.['unfinished']) }
    },
  }
}
