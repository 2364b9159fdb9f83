/**
 * Malote on Drizzle (`drizzle-orm/node-postgres` and `drizzle-orm/postgres-js`).
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

/** The part of a Drizzle transaction that is used. A plain database has no `rollback` and is refused. */
export interface DrizzleTransaction {
  execute(query: never): unknown
  rollback(): never
}

/** The part of a Drizzle database that is used. */
export interface DrizzleDatabase {
  readonly transaction: (...given: never[]) => unknown
  execute(query: never): unknown
}

type TransactionIn<Db> = Db extends { transaction(work: (tx: infer Tx) => Promise<unknown>): unknown } ? Tx : never

/**
 * Lets `outbox.add` run in a Drizzle transaction: `outbox.add(drizzleTransaction(tx), message)`.
 *
 * @throws OutboxError `NOT_A_TRANSACTION`
 */
export function drizzleTransaction(tx: DrizzleTransaction): Queryable {
  if (!hasMethods(tx, 'execute', 'rollback'))
    throw notATransactionOf('Drizzle', 'use db.transaction(async (tx) => …) and pass tx')
  return { query: async (text, values) => rowsOf(await tx.execute(statement(text, values) as never)) }
}

/** Lets everything that opens transactions (the inbox, HTTP idempotency) use a Drizzle database. */
export function drizzleDatabase<Db extends DrizzleDatabase>(db: Db): DatabaseClient<TransactionIn<Db>> {
  return {
    client: 'drizzle',
    begin: (isolationLevel, work) => db.transaction(work as never, { isolationLevel } as never) as never,
    queryable: (tx) => drizzleTransaction(tx as DrizzleTransaction),
  }
}

/** What Drizzle's `execute` makes of an `sql` template, made here with the text and values as they are. */
function statement(text: string, values: unknown[]): unknown {
  const params = values.map((value) => (Array.isArray(value) ? arrayLiteral(value as never) : value))
  return { getSQL: () => ({ toQuery: () => ({ sql: text, params }) }) }
}
