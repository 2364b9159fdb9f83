import { quoteIdentifier, schemaOption } from '@malote/outbox-core/postgres'
import type { Settings } from './options.ts'
import { type RetentionStatements, retentionStatements } from '../database/retention-statements.ts'
import { type Database, databaseOption, runTransaction } from '../database/transaction.ts'

/** How much one run of `purge` may remove, so that no transaction is long and no run takes for ever. */
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

export function createKeyRetention(settings: Settings): KeyRetention {
  const statements = retentionStatements(settings.quotedSchema)

  return {
    purge: async (options = {}) => {
      const purged = await purgeKeys(settings.db, statements, options)
      settings.report({ type: 'keys.purged', ...purged })
      return purged
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

/**
 * Deletes expired keys and the bodies that are past their time, as `Idempotency.purge` does, for a job that has neither the
 * application's peppers nor its handlers. Any number may run at once.
 *
 * @param db - where the keys are
 * @param options - `schema` is where the tables live, by default "malote"
 * @throws IdempotencyError `INVALID_OPTION`
 */
export async function purgeIdempotencyKeys(
  db: Database,
  options: PurgeOptions & { readonly schema?: string } = {},
): Promise<{ readonly keys: number; readonly bodies: number }> {
  databaseOption(db)
  return purgeKeys(db, retentionStatements(quoteIdentifier(schemaOption(options.schema))), options)
}

async function purgeKeys(
  db: Database,
  { deleteKeys, deleteBodies }: RetentionStatements,
  { batchSize = 1_000, maxBatches = 1_000 }: PurgeOptions,
): Promise<{ keys: number; bodies: number }> {
  const inBatches = async (statement: string): Promise<number> => {
    let total = 0
    for (let batch = 0; batch < maxBatches; batch++) {
      const { rows } = await runTransaction(db, 'read committed', ({ sql }) => sql.query(statement, [batchSize]))
      total += rows.length
      if (rows.length < batchSize) break
    }
    return total
  }
  return { keys: await inBatches(deleteKeys), bodies: await inBatches(deleteBodies) }
}
