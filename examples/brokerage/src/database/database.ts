import { type Generated, Kysely, PostgresDialect, type Transaction } from 'kysely'
import pg from 'pg'
import type { Centavos } from '../money.ts'
import { PreparingClient } from './preparing-client.ts'

/** The tables that are written through Kysely's builder; what is written many rows at a time is in plain SQL. */
export interface Tables {
  asset_reports: {
    asset: string
    orders_settled: number
    orders_undone: number
    bought_centavos: Centavos
    sold_centavos: Centavos
  }
  applied_messages: { position: Generated<number>; consumer: string; message_id: string }
  duplicate_deliveries: { position: Generated<number>; consumer: string; message_id: string }
}

export type Database = Kysely<Tables>
export type Tx = Transaction<Tables>

/** Schema of the brokerage's own tables; the outbox and the inbox live in `malote`. */
export const brokerageSchema = 'brokerage'

const types = new pg.TypeOverrides()
// int8 as a number: every amount and count here stays far below 2^53, and an exception beats a wrong cent.
types.setTypeParser(pg.types.builtins.INT8, (text) => {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError(`the integer ${text} does not fit a JavaScript number`)
  return value
})

/** A pool whose sessions find their tables in `schema`. */
export function createPool(url: string, maxConnections = 10, schema: string = brokerageSchema): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max: maxConnections,
    Client: PreparingClient,
    types,
    options: `-c search_path=${schema}`,
  })
  // A session the server ended makes an error event where it idles, in the pool or between two statements of a transaction.
  // Whoever uses it next gets the error; here it must only not end the process.
  pool.on('error', () => {})
  pool.on('connect', (client) => {
    client.on('error', () => {})
  })
  return pool
}

export function createDatabase(pool: pg.Pool): Database {
  return new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
}
