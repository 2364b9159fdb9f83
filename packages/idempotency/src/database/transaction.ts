import {
  type DatabaseClient,
  guardPool,
  type IsolationLevel,
  type Queryable,
  transactionQueryable,
} from '@malote/outbox-core/postgres'
import { invalidOption, isTimeout } from '../errors.ts'
import { askPool, type PgPool, runOnPool } from './pool-transaction.ts'
import { type Statement, unionAll } from './statement.ts'
import { explainCommit, explainOpening, type Opening, type TransactionSteps, type Work } from './transaction-steps.ts'

export type { PgPool, PooledClient } from './pool-transaction.ts'
export type { Opening, TransactionSteps } from './transaction-steps.ts'

/** The part of a `Kysely` that is used. */
export interface KyselyDatabase {
  readonly isTransaction: boolean
  transaction(): {
    setIsolationLevel(level: IsolationLevel): {
      execute<Result>(work: (trx: KyselyTransactionLike) => Promise<Result>): Promise<Result>
    }
  }
}

interface KyselyTransactionLike {
  readonly isTransaction: true
  withoutPlugins(): unknown
}

/**
 * Where transactions are opened: a `pg` pool, a `Kysely`, or what the entry point of another client makes
 * (`prismaDatabase(prisma)` of `@malote/outbox-core/prisma`, …). Handed in ready; never created or ended by this package.
 */
export type Database = PgPool | KyselyDatabase | DatabaseClient

/** What a handler works with: Kysely's `Transaction<DB>`, a pooled client of a `pg` pool, or the client's own transaction. */
export type TransactionOf<Db> = Db extends DatabaseClient<infer Tx> ? Tx : TransactionOfKnown<Db>

type TransactionOfKnown<Db> = Db extends {
  transaction(): { execute(work: (trx: infer Trx) => Promise<unknown>): unknown }
}
  ? Trx
  : Db extends { connect: { (): Promise<infer Client>; (callback: never): void } }
    ? Client
    : Db extends { connect(): Promise<infer Client> }
      ? Client
      : never

export type { IsolationLevel } from '@malote/outbox-core/postgres'

/** The caller's transaction beside our own view of it. */
export interface OpenTransaction<Db> extends TransactionSteps {
  readonly tx: TransactionOf<Db>
}

/**
 * Runs `work` in a transaction of its own and commits when it resolves, rolls back when it throws.
 *
 * @throws IdempotencyError `COMMIT_UNKNOWN` when the connection was lost while committing: the transaction may have
 *   committed or not, and only reading it back can tell. Everything else comes through as it is and means rolled back.
 */
export function runTransaction<Db extends Database, Result>(
  db: Db,
  isolation: IsolationLevel,
  work: (open: OpenTransaction<Db>) => Promise<Result>,
  opening: Opening = {},
): Promise<Result> {
  const pool = poolOf(db)
  if (pool !== undefined) return runOnPool(pool, isolation, work as never, opening)
  if ('transaction' in db) return runOnKysely(db, isolation, work as never, opening)
  return runOnClient(db as DatabaseClient, isolation, work as never, opening)
}

/** What one statement answers, in one round trip. Undefined, and not asked, where the client has more for each transaction. */
export async function askInOneTrip(
  db: Database,
  statement: Statement,
): Promise<readonly Record<string, unknown>[] | undefined> {
  const pool = poolOf(db)
  return pool === undefined ? undefined : askPool(pool, statement)
}

/** Of a Kysely nobody sees the connections, of other clients only those that say so. */
function poolOf(db: Database): PgPool | undefined {
  if (isClient(db)) return db.pool as PgPool | undefined
  return 'transaction' in db ? undefined : db
}

/** @throws IdempotencyError `INVALID_OPTION` */
export function databaseOption<Db extends Database>(db: Db): Db {
  const given: unknown = db
  if (typeof given === 'object' && given !== null) {
    if ('begin' in given && 'queryable' in given) return db
    if ('isTransaction' in given && given.isTransaction === false) return db
    if ('connect' in given && 'totalCount' in given) {
      guardPool(given)
      return db
    }
  }
  throw invalidOption(
    'db',
    'a pg Pool, a Kysely that is not a transaction, or a DatabaseClient such as prismaDatabase(prisma)',
  )
}

/** Whether `runTransaction` notices a COMMIT that PostgreSQL turned into a ROLLBACK: Kysely does not say. */
export function commitTells(db: Database): boolean {
  return poolOf(db) !== undefined
}

/** Begins and ends as its client allows: a statement at a time. */
async function oneAtATime<Result>(
  tx: unknown,
  sql: Queryable,
  work: Work<Result>,
  { statements = [] }: Opening,
): Promise<Result> {
  const run = (given: readonly Statement[]): ReturnType<Queryable['query']> => {
    const { text, values } = unionAll(given)
    return sql.query(text, [...values])
  }
  const rows = statements.length === 0 ? [] : (await run(statements).catch(explainOpening)).rows
  let last: readonly Statement[] = []
  const endWith = (given: readonly Statement[]): void => void (last = given)
  const endAsBegun = (check: Statement): void => endWith([...last, check])
  const endUnawaited = (): void => {}
  const result = await work({ tx, sql, rows, hasSavepoint: false, endWith, endAsBegun, endUnawaited })
  if (last.length > 0) await run(last)
  return result
}

function isClient(db: Database): db is DatabaseClient {
  return 'queryable' in db
}

async function runOnClient<Result>(
  client: DatabaseClient,
  isolation: IsolationLevel,
  work: Work<Result>,
  opening: Opening,
): Promise<Result> {
  let committing = false
  try {
    return await client.begin(isolation, async (tx) => {
      const result = await oneAtATime(tx, client.queryable(tx), work, opening)
      committing = true
      return result
    })
  } catch (error) {
    throw committing ? explainCommit(error) : error
  }
}

async function runOnKysely<Result>(
  db: KyselyDatabase,
  isolation: IsolationLevel,
  work: Work<Result>,
  opening: Opening,
): Promise<Result> {
  let committing = false
  const late = Promise.withResolvers<never>()
  const done = db
    .transaction()
    .setIsolationLevel(isolation)
    .execute(async (trx) => {
      const sql = await transactionQueryable(trx, '')
      const result = await oneAtATime(trx, sql, work, opening).catch((error: unknown) => {
        // Kysely rolls back once the statement under way has ended, and refuses the handler whatever comes later.
        if (isTimeout(error)) late.reject(error)
        throw error
      })
      committing = true
      return result
    })
  try {
    return await Promise.race([done, late.promise])
  } catch (error) {
    throw committing ? explainCommit(error) : error
  }
}
