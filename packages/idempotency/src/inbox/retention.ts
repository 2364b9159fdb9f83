import { reportTo } from '@malote/outbox-core/adapter'
import { type Queryable, quoteIdentifier, schemaOption, sqlStateOf } from '@malote/outbox-core/postgres'
import { invalidOption, wholeNumberOption } from '../errors.ts'
import type { InboxEvent } from '../events.ts'
import { type RetentionStatements, retentionStatements } from '../database/retention-statements.ts'
import { spaceTries } from '../retry.ts'
import { type Database, databaseOption, runTransaction } from '../database/transaction.ts'

/** How long the inbox keeps its proofs that a message was applied, and how many partitions are made ahead. */
export interface InboxRetentionOptions {
  /** Schema the inbox tables live in. @defaultValue "malote" */
  readonly schema?: string
  /** As given to `createInbox`. @defaultValue "simple" */
  readonly profile?: 'simple' | 'partitioned'
  /**
   * How long proofs are kept, in days. At least as long as a message can come back: the queue's retention, and the time
   * until somebody redrives a dead letter. `inbox.duplicate` events tell how late duplicates really come.
   *
   * @defaultValue 14: the longest an SQS queue keeps a message
   */
  readonly keepDays?: number
  /** Days ahead to have partitions for. @defaultValue 7: the job may fail for a week */
  readonly aheadDays?: number
  /** Rows deleted in one transaction of the simple profile. @defaultValue 5_000: milliseconds, not seconds, of locks */
  readonly batchSize?: number
  /** Longest wait for a lock that consumers hold, in milliseconds; then the work is left to the next run. @defaultValue 1_000 */
  readonly lockTimeoutMs?: number
  /** Told how many rows were deleted (`inbox.purged`); partitions are dropped uncounted. What it throws changes nothing, as in `createInbox`. */
  readonly onEvent?: (event: InboxEvent) => void
}

/** What one run of `maintainInbox` did, for logs and for an alarm on runs that never complete. */
export interface InboxRetentionReport {
  /** From now on messages made before this instant are refused as stale. */
  readonly refusedBefore: Date
  /** Rows deleted (simple). */
  readonly rows: number
  /** Partitions created and dropped (partitioned), by name. */
  readonly created: readonly string[]
  readonly dropped: readonly string[]
  /** False when consumers held a lock for too long; the next run goes on. */
  readonly complete: boolean
}

/**
 * Purges proofs that are older than `keepDays`, and, in the partitioned profile, creates the partitions of the days to
 * come: run it at least daily there, and before the first message. Any number of replicas may run it at once.
 *
 * First it raises the watermark, below which messages are refused instead of applied a second time; only then it deletes,
 * and only once every transaction that may still judge by the old watermark has ended.
 *
 * @throws IdempotencyError `INVALID_OPTION`
 */
export async function maintainInbox(db: Database, options: InboxRetentionOptions = {}): Promise<InboxRetentionReport> {
  databaseOption(db)
  const keepDays = wholeNumberOption('keepDays', options.keepDays, 14, { min: 1, max: 3_650 })
  const aheadDays = wholeNumberOption('aheadDays', options.aheadDays, 7, { min: 1, max: 60 })
  const batchSize = wholeNumberOption('batchSize', options.batchSize, 5_000, { min: 1, max: 100_000 })
  const lockTimeoutMs = wholeNumberOption('lockTimeoutMs', options.lockTimeoutMs, 1_000, { min: 1, max: 60_000 })
  const profile = options.profile ?? 'simple'
  if (profile !== 'simple' && profile !== 'partitioned') throw invalidOption('profile', '"simple" or "partitioned"')
  const statements = retentionStatements(quoteIdentifier(schemaOption(options.schema)))
  const report = reportTo(options.onEvent)
  const inTransaction = <Result>(work: (sql: Queryable) => Promise<Result>): Promise<Result> =>
    runTransaction(db, 'read committed', async ({ sql }) => {
      await sql.query(statements.boundLocks, [`${String(lockTimeoutMs)}ms`])
      return work(sql)
    })

  const [watermark] = await inTransaction(
    async (sql) => (await sql.query(statements.raiseWatermark, [profile, keepDays])).rows,
  )
  const refusedBefore = watermark?.['refused_before'] as Date
  const done =
    profile === 'simple'
      ? await deleteRows(inTransaction, statements, batchSize, lockTimeoutMs)
      : await turnPartitions(inTransaction, statements, aheadDays)
  const result = { refusedBefore, rows: 0, created: [], dropped: [], ...done }
  report({ type: 'inbox.purged', rows: result.rows })
  return result
}

type InTransaction = <Result>(work: (sql: Queryable) => Promise<Result>) => Promise<Result>

async function deleteRows(
  inTransaction: InTransaction,
  statements: RetentionStatements,
  batchSize: number,
  waitMs: number,
): Promise<{ rows: number; complete: boolean }> {
  if (!(await earlierWritersEnded(inTransaction, statements, waitMs))) return { rows: 0, complete: false }
  for (let rows = 0; ;) {
    const deleted = await inTransaction(
      async (sql) => (await sql.query(statements.deleteMessages, [batchSize])).rows.length,
    )
    rows += deleted
    if (deleted < batchSize) return { rows, complete: true }
  }
}

/** Whether every transaction that held the table when asked first has ended: they may have read the old watermark. */
async function earlierWritersEnded(
  inTransaction: InTransaction,
  statements: RetentionStatements,
  waitMs: number,
): Promise<boolean> {
  const holders = (): Promise<string[]> =>
    inTransaction(async (sql) => (await sql.query(statements.writers, [])).rows.map((row) => String(row['holder'])))
  const nextTry = spaceTries({ firstMs: 20, longestMs: 20, totalMs: waitMs })
  const earlier = new Set(await holders())
  while (earlier.size > 0) {
    if (!(await nextTry())) return false
    const now = new Set(await holders())
    for (const holder of earlier) if (!now.has(holder)) earlier.delete(holder)
  }
  return true
}

async function turnPartitions(
  inTransaction: InTransaction,
  statements: RetentionStatements,
  aheadDays: number,
): Promise<{ created: string[]; dropped: string[]; complete: boolean }> {
  const [created, dropped]: [string[], string[]] = [[], []]
  let complete = true
  const change = async (list: string[], name: string, statement: string): Promise<void> => {
    try {
      await inTransaction((sql) => sql.query(statement, []))
      list.push(name)
    } catch (error) {
      // 55P03: consumers hold the table; the next run tries again. 42P07, 42P01: another replica was faster.
      const state = sqlStateOf(error) ?? ''
      if (!['55P03', '42P07', '42P01'].includes(state)) throw error
      if (state === '55P03') complete = false
    }
  }
  const missing = await inTransaction(async (sql) => (await sql.query(statements.missingPartitions, [aheadDays])).rows)
  for (const { name, from, to } of missing as { name: string; from: string; to: string }[])
    await change(created, name, statements.createPartition(name, from, to))
  const old = await inTransaction(async (sql) => (await sql.query(statements.oldPartitions, [])).rows)
  for (const { name } of old as { name: string }[]) await change(dropped, name, statements.dropPartition(name))
  return { created, dropped, complete }
}
