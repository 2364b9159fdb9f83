/**
 * Malote on Knex.
 *
 * @packageDocumentation
 */
import type { Queryable } from '../postgres/queryable.ts'
import { type DatabaseClient, hasMethods, type IsolationLevel, notATransactionOf } from '../postgres/database-client.ts'

export type { DatabaseClient, IsolationLevel } from '../postgres/database-client.ts'

/** The part of a Knex transaction that is used. A plain Knex is refused. */
export interface KnexTransaction {
  readonly isTransaction?: boolean
  isCompleted(): boolean
  readonly client: { acquireConnection(): Promise<unknown> }
}

/** The part of a Knex that is used. */
export interface KnexDatabase<Tx> {
  transaction<Result>(work: (trx: Tx) => Promise<Result>, config?: { isolationLevel?: IsolationLevel }): Promise<Result>
}

/**
 * Lets `outbox.add` run in a Knex transaction: `outbox.add(knexTransaction(trx), message)`.
 *
 * Statements go to the transaction's own pg connection, past Knex's parser: it gives `?` and `:name` a meaning that
 * PostgreSQL's text does not have.
 *
 * @throws OutboxError `NOT_A_TRANSACTION`, also when the transaction has ended
 */
export function knexTransaction(trx: KnexTransaction): Queryable {
  const remedy = 'use knex.transaction(async (trx) => …) and pass trx before it ends'
  if (!hasMethods(trx, 'isCompleted') || trx.isTransaction !== true) throw notATransactionOf('Knex', remedy)
  return {
    query: async (text, values) => {
      if (trx.isCompleted()) throw notATransactionOf('Knex', remedy)
      const connection = (await trx.client.acquireConnection()) as Queryable
      return connection.query(text, values)
    },
  }
}

/** Lets everything that opens transactions (the inbox, HTTP idempotency) use a Knex. */
export function knexDatabase<Tx extends KnexTransaction>(knex: KnexDatabase<Tx>): DatabaseClient<Tx> {
  return {
    client: 'knex',
    begin: (isolationLevel, work) => knex.transaction(work, { isolationLevel }),
    queryable: knexTransaction,
  }
}
