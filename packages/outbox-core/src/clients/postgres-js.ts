/**
 * Malote on postgres.js.
 *
 * @packageDocumentation
 */
import type { Queryable } from '../postgres/queryable.ts'
import {
  arrayLiteral,
  type DatabaseClient,
  hasMethods,
  notATransactionOf,
  rowsOf,
} from '../postgres/database-client.ts'

export type { DatabaseClient, IsolationLevel } from '../postgres/database-client.ts'

/** The part of a postgres.js transaction that is used. A plain `sql` has no `savepoint` and is refused. */
export interface PostgresJsTransaction {
  unsafe(text: string, values?: never[]): PromiseLike<unknown>
  readonly savepoint: (...given: never[]) => unknown
}

/** The part of a postgres.js `sql` that is used. */
export interface PostgresJsDatabase {
  readonly begin: (...given: never[]) => unknown
}

type TransactionIn<Sql> = Sql extends { begin(options: string, work: (sql: infer Tx) => unknown): unknown } ? Tx : never

/**
 * Lets `outbox.add` run in a postgres.js transaction: `outbox.add(postgresJsTransaction(sql), message)`.
 *
 * @throws OutboxError `NOT_A_TRANSACTION`
 */
export function postgresJsTransaction(sql: PostgresJsTransaction): Queryable {
  if (!hasMethods(sql, 'unsafe', 'savepoint'))
    throw notATransactionOf('postgres.js', 'use sql.begin(async (sql) => …) and pass the inner sql')
  const asText = (value: unknown): unknown => (Array.isArray(value) ? arrayLiteral(value as never) : value)
  return { query: async (text, values) => rowsOf(await sql.unsafe(text, values.map(asText) as never[])) }
}

/** Lets everything that opens transactions (the inbox, HTTP idempotency) use a postgres.js `sql`. */
export function postgresJsDatabase<Sql extends PostgresJsDatabase>(sql: Sql): DatabaseClient<TransactionIn<Sql>> {
  return {
    client: 'postgres-js',
    begin: (isolation, work) => sql.begin(`isolation level ${isolation}` as never, work as never) as never,
    queryable: (tx) => postgresJsTransaction(tx as PostgresJsTransaction),
  }
}
