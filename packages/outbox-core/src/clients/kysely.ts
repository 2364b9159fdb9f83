/**
 * Malote on Kysely. `outbox.add` takes a Kysely `Transaction` as it is.
 *
 * @packageDocumentation
 */
import { kyselyQueryable, type KyselyTransaction, type Queryable } from '../postgres/queryable.ts'
import type { DatabaseClient, IsolationLevel } from '../postgres/database-client.ts'

export type { DatabaseClient, IsolationLevel } from '../postgres/database-client.ts'
export type { KyselyTransaction } from '../postgres/queryable.ts'

/** The part of a `Kysely` that is used. */
export interface KyselyDatabase {
  readonly isTransaction: boolean
  transaction(): {
    setIsolationLevel(level: IsolationLevel): { readonly execute: (...given: never[]) => unknown }
  }
}

type TransactionIn<Db> = Db extends {
  transaction(): { execute(work: (trx: infer Trx) => Promise<unknown>): unknown }
}
  ? Trx
  : never

/** The transaction as a `Queryable`. @throws OutboxError `NOT_A_TRANSACTION` for a plain Kysely */
export function kyselyTransaction(trx: KyselyTransaction): Queryable {
  return kyselyQueryable(trx)
}

/** A Kysely as a `DatabaseClient`, for code that takes any client. */
export function kyselyDatabase<Db extends KyselyDatabase>(db: Db): DatabaseClient<TransactionIn<Db>> {
  return {
    client: 'kysely',
    begin: (isolation, work) =>
      db
        .transaction()
        .setIsolationLevel(isolation)
        .execute(work as never) as never,
    queryable: (trx) => kyselyQueryable(trx as KyselyTransaction),
  }
}
