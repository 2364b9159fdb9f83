/**
 * Malote on pg. `outbox.add` takes a pg client after BEGIN as it is.
 *
 * @packageDocumentation
 */
import { guardPool } from '../postgres/guard-pool.ts'
import type { Queryable } from '../postgres/queryable.ts'
import { type DatabaseClient, hasMethods, notATransactionOf } from '../postgres/database-client.ts'

export type { DatabaseClient, IsolationLevel } from '../postgres/database-client.ts'

/** The part of a pooled pg client that is used. */
export interface PgTransaction {
  query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[]; command?: string }>
  getTransactionStatus?(): 'I' | 'T' | 'E' | null
  readonly totalCount?: never
}

interface PooledClient extends PgTransaction {
  release(destroy?: boolean): void
  on?(event: 'error', listener: (error: Error) => void): unknown
  off?(event: 'error', listener: (error: Error) => void): unknown
}

/** The part of a pg pool that is used. */
export interface PgDatabase {
  connect(): Promise<PooledClient>
}

type ClientOf<Pool> = Pool extends { connect: { (): Promise<infer Client>; (callback: never): void } }
  ? Client
  : Pool extends { connect(): Promise<infer Client> }
    ? Client
    : never

/** The client as a `Queryable`. @throws OutboxError `NOT_A_TRANSACTION` outside a transaction, and for a pool */
export function pgTransaction(client: PgTransaction): Queryable {
  const remedy = 'take a client with pool.connect(), run BEGIN on it and pass the client'
  if (!hasMethods(client, 'query') || 'totalCount' in client || client.getTransactionStatus?.() === 'I')
    throw notATransactionOf('pg', remedy)
  return client
}

/** A pg pool as a `DatabaseClient`, for code that takes any client. */
export function pgDatabase<Pool extends PgDatabase>(pool: Pool): DatabaseClient<ClientOf<Pool>> {
  guardPool(pool)
  const client: DatabaseClient<ClientOf<Pool>> = {
    client: 'pg',
    begin: (isolation, work) => inTransaction(pool, isolation, work as never),
    queryable: (client) => pgTransaction(client),
  }
  // Not for copies: `{ ...pgDatabase(pool), begin }` has a `begin` that must not be passed over.
  return Object.defineProperty(client, 'pool', { value: pool })
}

async function inTransaction<Result>(
  pool: PgDatabase,
  isolation: string,
  work: (client: PooledClient) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect()
  let isBroken = true
  // While a client is checked out nobody else listens: a lost connection would end the process. The query that follows fails.
  client.on?.('error', ignoreLostConnection)
  try {
    await client.query(`begin isolation level ${isolation}`)
    const result = await work(client)
    const { command } = await client.query('commit')
    // PostgreSQL answers COMMIT of a failed transaction with ROLLBACK and no error.
    if (command === 'ROLLBACK') throw new Error('the transaction was rolled back because a statement in it had failed')
    isBroken = false
    return result
  } catch (error) {
    // A connection that cannot roll back is not given to anyone else; the server rolls back when it closes.
    isBroken = await client.query('rollback').then(
      () => false,
      () => true,
    )
    throw error
  } finally {
    client.off?.('error', ignoreLostConnection)
    client.release(isBroken)
  }
}

function ignoreLostConnection(): void {}
