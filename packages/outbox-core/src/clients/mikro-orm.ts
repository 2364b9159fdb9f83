/**
 * Malote on MikroORM 6 and 7.
 *
 * @packageDocumentation
 */
import { kyselyQueryable, type KyselyTransaction, type Queryable } from '../postgres/queryable.ts'
import { type DatabaseClient, hasMethods, notATransactionOf } from '../postgres/database-client.ts'
import { knexTransaction, type KnexTransaction } from './knex.ts'

export type { DatabaseClient, IsolationLevel } from '../postgres/database-client.ts'

/** The part of a MikroORM `EntityManager` that is used: the one that `transactional` hands to its callback. */
export interface MikroOrmTransaction {
  isInTransaction(): boolean
  getTransactionContext(): unknown
}

/** The part of a MikroORM `EntityManager` that is used to open transactions: `orm.em`. */
export interface MikroOrmDatabase extends MikroOrmTransaction {
  fork(): { readonly transactional: (...given: never[]) => unknown }
}

/**
 * Lets `outbox.add` run in a MikroORM transaction: `outbox.add(mikroOrmTransaction(em), message)`.
 *
 * @throws OutboxError `NOT_A_TRANSACTION`
 */
export function mikroOrmTransaction(em: MikroOrmTransaction): Queryable {
  if (!hasMethods(em, 'isInTransaction', 'getTransactionContext') || !em.isInTransaction())
    throw notATransactionOf('MikroORM', 'use em.transactional(async (em) => …) and pass the inner em')
  const context = em.getTransactionContext()
  // MikroORM 7 stands on Kysely, MikroORM 6 on Knex.
  if (hasMethods(context, 'executeQuery')) return kyselyQueryable(context as KyselyTransaction)
  return knexTransaction(context as KnexTransaction)
}

/** Lets everything that opens transactions (the inbox, HTTP idempotency) use a MikroORM `EntityManager`. */
export function mikroOrmDatabase<Em extends MikroOrmDatabase>(em: Em): DatabaseClient<Em> {
  return {
    client: 'mikro-orm',
    // A fork, because MikroORM would join the transaction that the calling code may be in.
    begin: (isolationLevel, work) => em.fork().transactional(work as never, { isolationLevel } as never) as never,
    queryable: mikroOrmTransaction,
  }
}
