/**
 * Malote on TypeORM.
 *
 * @packageDocumentation
 */
import type { Queryable } from '../postgres/queryable.ts'
import { type DatabaseClient, hasMethods, notATransactionOf } from '../postgres/database-client.ts'

export type { DatabaseClient, IsolationLevel } from '../postgres/database-client.ts'

/** The part of a TypeORM `EntityManager` that is used: the one that a transaction hands to its callback. */
export interface TypeormTransaction {
  readonly queryRunner?: {
    readonly isTransactionActive: boolean
    query(text: string, values: unknown[], useStructuredResult: true): Promise<{ records: unknown[] }>
  }
}

/** The part of a TypeORM `DataSource` that is used. */
export interface TypeormDatabase {
  readonly transaction: (...given: never[]) => unknown
  readonly manager: TypeormTransaction
}

type TransactionIn<Db> = Db extends { readonly manager: infer Manager } ? Manager : never

/**
 * Lets `outbox.add` run in a TypeORM transaction: `outbox.add(typeormTransaction(manager), message)`.
 *
 * @throws OutboxError `NOT_A_TRANSACTION`, also for the manager of a data source and when the transaction has ended
 */
export function typeormTransaction(manager: TypeormTransaction): Queryable {
  const runner = manager?.queryRunner
  const refusal = () =>
    notATransactionOf('TypeORM', 'use dataSource.transaction(async (manager) => …) and pass that manager')
  if (runner === undefined || !hasMethods(runner, 'query') || !runner.isTransactionActive) throw refusal()
  return {
    query: async (text, values) => {
      if (!runner.isTransactionActive) throw refusal()
      // Structured: without it TypeORM answers an UPDATE or DELETE with a pair instead of rows.
      const { records } = await runner.query(text, values, true)
      return { rows: records as Record<string, unknown>[] }
    },
  }
}

/** Lets everything that opens transactions (the inbox, HTTP idempotency) use a TypeORM `DataSource`. */
export function typeormDatabase<Db extends TypeormDatabase>(dataSource: Db): DatabaseClient<TransactionIn<Db>> {
  const levels = {
    'read committed': 'READ COMMITTED',
    'repeatable read': 'REPEATABLE READ',
    serializable: 'SERIALIZABLE',
  } as const
  return {
    client: 'typeorm',
    begin: (isolation, work) => dataSource.transaction(levels[isolation] as never, work as never) as never,
    queryable: (tx) => typeormTransaction(tx),
  }
}
