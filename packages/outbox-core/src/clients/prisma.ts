/**
 * Malote on Prisma, with any driver adapter for PostgreSQL.
 *
 * @packageDocumentation
 */
import type { Queryable } from '../postgres/queryable.ts'
import { type DatabaseClient, hasMethods, notATransactionOf, rowsOf } from '../postgres/database-client.ts'

export type { DatabaseClient, IsolationLevel } from '../postgres/database-client.ts'

/** The part of a Prisma interactive transaction that is used. A plain `PrismaClient` has `$connect` and is refused. */
export interface PrismaTransaction {
  $queryRawUnsafe(text: string, ...values: never[]): PromiseLike<unknown>
  readonly $connect?: never
}

/** The part of a `PrismaClient` that is used. */
export interface PrismaDatabase {
  readonly $transaction: (...given: never[]) => unknown
  $connect(): unknown
}

/** Prisma's limits of an interactive transaction. */
export interface PrismaTransactionOptions {
  /** Longest wait for a connection, in milliseconds. @defaultValue 5_000 */
  readonly maxWait?: number
  /**
   * Longest transaction, in milliseconds; Prisma rolls it back then.
   *
   * @defaultValue 60_000: Prisma's own 5 s would end a request before the time that Malote promises its handler
   */
  readonly timeout?: number
}

type TransactionIn<Db> = Omit<Db, '$connect' | '$disconnect' | '$on' | '$use' | '$extends'>

/**
 * Lets `outbox.add` run in a Prisma transaction: `outbox.add(prismaTransaction(tx), message)`.
 *
 * @throws OutboxError `NOT_A_TRANSACTION`
 */
export function prismaTransaction(tx: PrismaTransaction): Queryable {
  if (!hasMethods(tx, '$queryRawUnsafe') || hasMethods(tx, '$connect'))
    throw notATransactionOf('Prisma', 'use prisma.$transaction(async (tx) => …) and pass tx')
  return {
    query: async (text, values) => {
      const { rows } = rowsOf(await tx.$queryRawUnsafe(text, ...(values as never[])))
      return { rows: rows.map(withBuffers) }
    },
  }
}

/** Prisma reads bytea as a plain Uint8Array; every other client, and so all of our code, as a Buffer. */
function withBuffers(row: Record<string, unknown>): Record<string, unknown> {
  for (const [column, value] of Object.entries(row)) {
    if (value instanceof Uint8Array && !Buffer.isBuffer(value)) row[column] = Buffer.from(value)
  }
  return row
}

/** Lets everything that opens transactions (the inbox, HTTP idempotency) use a `PrismaClient`. */
export function prismaDatabase<Db extends PrismaDatabase>(
  prisma: Db,
  options: PrismaTransactionOptions = {},
): DatabaseClient<TransactionIn<Db>> {
  const levels = {
    'read committed': 'ReadCommitted',
    'repeatable read': 'RepeatableRead',
    serializable: 'Serializable',
  } as const
  return {
    client: 'prisma',
    begin: (isolation, work) =>
      prisma.$transaction(
        work as never,
        {
          maxWait: options.maxWait ?? 5_000,
          timeout: options.timeout ?? 60_000,
          isolationLevel: levels[isolation],
        } as never,
      ) as never,
    queryable: (tx) => prismaTransaction(tx as unknown as PrismaTransaction),
  }
}
