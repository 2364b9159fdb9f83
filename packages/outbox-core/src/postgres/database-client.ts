import { OutboxError } from '../errors.ts'
import type { Queryable } from './queryable.ts'

/** How much a transaction may see of others that run beside it, in PostgreSQL's words. `read committed` is enough for everything Malote does. */
export type IsolationLevel = 'read committed' | 'repeatable read' | 'serializable'

/**
 * What Malote needs of a database client: to begin a transaction, and to run a statement in it. Every client's entry point
 * (`@malote/outbox-core/drizzle`, `/prisma`, …) makes one, and everything that takes a database takes any of them.
 * `clientConformance` in `@malote/outbox-core/testing` checks each sentence here against a real PostgreSQL.
 *
 * @typeParam Tx - the client's own transaction: what the application's handlers are given
 */
export interface DatabaseClient<Tx = unknown> {
  /** For error messages, for example `drizzle`. */
  readonly client: string

  /**
   * Runs `work` in a new transaction. Commits when `work` resolves and then resolves with its result; rolls back when
   * `work` rejects and then rejects with the same error.
   */
  begin<Result>(isolation: IsolationLevel, work: (tx: Tx) => Promise<Result>): Promise<Result>

  /**
   * Runs statements inside the transaction: PostgreSQL's placeholders (`$1`), rows as objects with the columns' names as
   * they are, bytea as a Buffer, errors with their SQLSTATE.
   *
   * @throws OutboxError `NOT_A_TRANSACTION` when `tx` is not a transaction of this client
   */
  queryable(tx: Tx): Queryable

  /**
   * The `pg` pool behind the client, if its transactions are clients of that pool and `begin` does nothing but begin, commit and roll
   * back: several statements then share a round trip, and `begin` is not called. Leave it out of a client whose `begin` does more.
   */
  readonly pool?: object
}

/** The refusal that every client's entry point words alike. */
export function notATransactionOf(client: string, remedy: string): OutboxError {
  return new OutboxError(
    'NOT_A_TRANSACTION',
    `messages must be added inside a transaction, but this is not a ${client} transaction: ${remedy}`,
  )
}

/** Whether the value has all these methods. Entry points look at clients, and never import them. */
export function hasMethods(value: unknown, ...names: readonly string[]): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function')
}

/** The rows of a result, whether the driver answers with an array of rows or an object that has them. */
export function rowsOf(result: unknown): { rows: Record<string, unknown>[] } {
  const rows: unknown = Array.isArray(result) ? result : (result as { rows?: unknown } | null | undefined)?.rows
  return { rows: Array.isArray(rows) ? Array.from(rows as Record<string, unknown>[]) : [] }
}

type Element = string | number | boolean | bigint | Uint8Array | null | undefined

/** An array as PostgreSQL writes it, for drivers that would guess its type from the first element. */
export function arrayLiteral(values: readonly Element[]): string {
  const elements = values.map((value) => {
    if (value === null || value === undefined) return 'NULL'
    const text = value instanceof Uint8Array ? `\\x${Buffer.from(value).toString('hex')}` : String(value)
    return `"${text.replace(/["\\]/g, '\\$&')}"`
  })
  return `{${elements.join(',')}}`
}
