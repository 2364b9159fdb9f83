import {
  type DatabaseClient,
  guardPool,
  type IsolationLevel,
  type Queryable,
  sqlStateOf,
  transactionQueryable,
} from '@malote/outbox-core/postgres'
import { endedByHandler, IdempotencyError, invalidOption } from '../errors.ts'
import { inline, type Statement, unionAll } from './statement.ts'

/** The part of a `pg` pool that is used. */
export interface PgPool {
  connect(): Promise<PooledClient>
}

interface QueryResult {
  readonly rows: Record<string, unknown>[]
  readonly command?: string
}

/** The part of a pooled `pg` client that is used. */
export interface PooledClient extends Queryable {
  query(text: string, values?: unknown[]): Promise<QueryResult>
  getTransactionStatus?(): 'I' | 'T' | 'E' | null
  release(destroy?: boolean): void
  on?(event: 'error', listener: (error: Error) => void): unknown
  off?(event: 'error', listener: (error: Error) => void): unknown
}

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

/** Our own narrow view of an open transaction. */
export interface TransactionSteps {
  readonly sql: Queryable
  /** What the statement answered that the transaction began with. */
  readonly rows: readonly Record<string, unknown>[]
  /** Whether the savepoint of the opening has been taken, in the same round trip. */
  readonly hasSavepoint: boolean
  /** Runs the statements as the last before COMMIT, in the same round trip where the client can send two statements in one. */
  endWith(statements: readonly Statement[]): void
}

/** What a transaction begins with, in the round trip of BEGIN where the client can send more than one statement in one. */
export interface Opening {
  /** Queries of one shape, whose rows come in their order. */
  readonly statements?: readonly Statement[]
  readonly savepoint?: string
}

type Work<Result> = (open: TransactionSteps & { readonly tx: unknown }) => Promise<Result>

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
  if (isClient(db) && db.pool !== undefined) return runOnPool(db.pool as PgPool, isolation, work as never, opening)
  if (isClient(db)) return runOnClient(db, isolation, work as never, opening)
  if ('transaction' in db) return runOnKysely(db, isolation, work as never, opening)
  return runOnPool(db, isolation, work as never, opening)
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

async function runOnPool<Result>(
  pool: PgPool,
  isolation: IsolationLevel,
  work: Work<Result>,
  opening: Opening,
): Promise<Result> {
  guardPool(pool)
  const client = await pool.connect()
  let broken = true
  try {
    const rows = await begin(client, isolation, opening)
    let last: readonly Statement[] = []
    const endWith = (statements: readonly Statement[]): void => void (last = statements)
    const hasSavepoint = opening.savepoint !== undefined
    const result = await work({ tx: client, sql: client, rows, hasSavepoint, endWith })
    assertStillOpen(client)
    await commit(client, last)
    broken = false
    return result
  } catch (error) {
    // A handler that has not settled may go on using its connection: nobody else gets it, and nothing is waited for.
    // The same for a connection that cannot roll back. The server rolls back when it closes.
    if (!isTimeout(error))
      broken = await client.query('rollback').then(
        () => false,
        () => true,
      )
    throw error
  } finally {
    client.release(broken)
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof IdempotencyError && error.code === 'TIMED_OUT'
}

/** Whether `runTransaction` notices a COMMIT that PostgreSQL turned into a ROLLBACK: Kysely does not say. */
export function commitTells(db: Database): boolean {
  return !('transaction' in db) && (!isClient(db) || db.pool !== undefined)
}

/** Nothing but texts without parameters may share a round trip. */
async function begin(
  client: PooledClient,
  isolation: IsolationLevel,
  { statements = [], savepoint }: Opening,
): Promise<readonly Record<string, unknown>[]> {
  const texts = [`begin isolation level ${isolation}`]
  if (statements.length > 0) texts.push(inline(statements))
  if (savepoint !== undefined) texts.push(`savepoint ${savepoint}`)
  const results = [await client.query(texts.join('; ')).catch(explainOpening)].flat() as readonly QueryResult[]
  return statements.length === 0 ? [] : (results[1]?.rows ?? [])
}

/** @throws always */
function explainOpening(error: unknown): never {
  if (!['42883', '42P01', '3F000'].includes(sqlStateOf(error) ?? '')) throw error
  throw new IdempotencyError(
    'SCHEMA_MISSING',
    'the database lacks tables or functions that this release works with: run migrateIdempotency(db) before it starts',
    { cause: error },
  )
}

async function commit(client: PooledClient, last: readonly Statement[]): Promise<void> {
  let result: QueryResult | readonly QueryResult[]
  try {
    result = await client.query(last.length === 0 ? 'commit' : `${inline(last)}; commit`)
  } catch (error) {
    throw explainCommit(error)
  }
  // PostgreSQL answers COMMIT of a failed transaction with ROLLBACK and no error.
  if ([result].flat().at(-1)?.command === 'ROLLBACK')
    throw new Error('the transaction was rolled back because a statement in it had failed')
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
  const result = await work({ tx, sql, rows, hasSavepoint: false, endWith })
  if (last.length > 0) await run(last)
  return result
}

/** A handler that ends the transaction itself would have the rest run, and stay, outside of it. */
function assertStillOpen(client: PooledClient): void {
  if (client.getTransactionStatus?.() === 'I') throw endedByHandler()
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

function explainCommit(error: unknown): unknown {
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
