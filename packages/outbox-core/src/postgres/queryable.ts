import { randomUUID } from 'node:crypto'
import { OutboxError } from '../errors.ts'

/** The one method Malote needs of a transaction. Every known client has an entry point that makes one: see docs/other-clients.md. */
export interface Queryable {
  query(text: string, values: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
}

/** The part of a `pg` client that is used; `Client` and `PoolClient` fit. A `Pool` does not and is refused. */
export interface PgClient {
  query(text: string, values: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
  getTransactionStatus?(): 'I' | 'T' | 'E' | null
  /** Only a pool has it: the compiler refuses a pool where a transaction is meant. */
  readonly totalCount?: never
}

/** The part of a Kysely `Transaction` that is used. A plain `Kysely` is refused, by the compiler too. */
export interface KyselyTransaction {
  readonly isTransaction: true
  withoutPlugins(): unknown
}

/** A transaction the caller opened and will end. */
export type OutboxTransaction = KyselyTransaction | PgClient | (Queryable & { readonly totalCount?: never })

/** The part of a Kysely executor that runs compiled SQL; spelled here so that kysely stays an optional peer. */
interface KyselyExecutor {
  executeQuery(query: unknown): Promise<{ rows: Record<string, unknown>[] }>
}

/**
 * Gives the transaction as a `Queryable`, or refuses what is none: a message added outside a transaction can be published
 * although its business rows are rolled back, and nobody notices until money is missing.
 *
 * A pg client older than 8.17 and a custom `Queryable` cannot say whether they are in a transaction. For them
 * `lockTable` is locked first, which PostgreSQL itself refuses outside a transaction block: one more round trip.
 *
 * @throws OutboxError `NOT_A_TRANSACTION`
 */
export async function transactionQueryable(tx: OutboxTransaction, lockTable: string): Promise<Queryable> {
  if (isKysely(tx)) return kyselyQueryable(tx)
  if (isPool(tx))
    throw notATransaction('a pg Pool', 'take a client with pool.connect(), run BEGIN on it and pass the client')
  if (typeof tx !== 'object' || tx === null || typeof tx.query !== 'function') {
    throw notATransaction(
      tx === null ? 'null' : typeof tx,
      'pass a Kysely Transaction, a pg client after BEGIN, or a Queryable',
    )
  }
  if ('getTransactionStatus' in tx && typeof tx.getTransactionStatus === 'function') {
    const status = tx.getTransactionStatus()
    if (status === 'I') throw notATransaction('a pg client outside a transaction', 'run BEGIN on it first')
    if (status !== null) return tx
  }
  await assertInTransaction(tx, lockTable)
  return tx
}

async function assertInTransaction(tx: Queryable, lockTable: string): Promise<void> {
  try {
    const result: unknown = await tx.query(`lock table ${lockTable} in row exclusive mode`, [])
    if (!Array.isArray((result as { rows?: unknown } | null | undefined)?.rows)) throw notAQueryable(result)
  } catch (error) {
    if (sqlStateOf(error) === '25P01') {
      throw notATransaction('a client outside a transaction', 'begin a transaction on it first', error)
    }
    throw error
  }
}

/** A wrapped client that answers with bare rows (or nothing) would have each of our results read as empty. */
function notAQueryable(result: unknown): OutboxError {
  const what = Array.isArray(result) ? 'an array' : result === null ? 'null' : typeof result
  return new OutboxError(
    'NOT_A_TRANSACTION',
    `query() of the given Queryable resolved with ${what} instead of { rows }: return { rows: [...] }, or use the entry point of your client (see docs/other-clients.md)`,
  )
}

/** PostgreSQL's five-character error code, wherever the client put it; undefined when there is none. */
export function sqlStateOf(error: unknown): string | undefined {
  for (let current: unknown = error; typeof current === 'object' && current !== null; current = causeOf(current)) {
    const { code, originalCode } = current as { code?: unknown; originalCode?: unknown }
    if (isSqlState(code)) return code
    if (isSqlState(originalCode)) return originalCode
  }
  return undefined
}

/** Data exception, violated constraint, or a limit of the server: the same statement fails the same way for ever. */
export function isRefused(error: unknown): boolean {
  return ['22', '23', '54'].includes(sqlStateOf(error)?.slice(0, 2) ?? '')
}

/** Prisma keeps the database's error beside the cause of its own. */
function causeOf(error: object): unknown {
  const { cause, meta } = error as { cause?: unknown; meta?: { driverAdapterError?: unknown } | null }
  return meta?.driverAdapterError ?? cause
}

/** Five digits and capitals, one digit at least: `EPIPE` is the network's code. `P1001` to `P6999` are Prisma's own. */
function isSqlState(code: unknown): code is string {
  return typeof code === 'string' && /^(?=.*\d)[0-9A-Z]{5}$/.test(code) && !/^P[1-6]\d{3}$/.test(code)
}

function isKysely(tx: object): tx is KyselyTransaction {
  return typeof tx === 'object' && tx !== null && 'isTransaction' in tx && 'withoutPlugins' in tx
}

function isPool(tx: object): boolean {
  return typeof tx === 'object' && tx !== null && 'totalCount' in tx && 'connect' in tx
}

/** @throws OutboxError `NOT_A_TRANSACTION` for a plain Kysely */
export function kyselyQueryable(tx: KyselyTransaction): Queryable {
  const { isTransaction }: { isTransaction: boolean } = tx
  if (!isTransaction)
    throw notATransaction('a Kysely that is not a transaction', 'use db.transaction().execute((trx) => …) and pass trx')
  // Without plugins: CamelCasePlugin and its like would rename the columns of our own rows.
  const executor = tx.withoutPlugins() as KyselyExecutor
  return { query: (text, values) => executor.executeQuery(rawQuery(text, values)) }
}

/** What kysely's `CompiledQuery.raw` builds, without importing kysely at run time. */
export function rawQuery(sql: string, parameters: unknown[]): unknown {
  return {
    sql,
    parameters,
    query: Object.freeze({ kind: 'RawNode', sqlFragments: Object.freeze([sql]), parameters: Object.freeze([]) }),
    queryId: { queryId: randomUUID() },
  }
}

function notATransaction(what: string, remedy: string, cause?: unknown): OutboxError {
  return new OutboxError(
    'NOT_A_TRANSACTION',
    `messages must be added inside a transaction, but this is ${what}: ${remedy}`,
    { cause },
  )
}
