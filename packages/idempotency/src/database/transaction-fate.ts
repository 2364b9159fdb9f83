import type { Queryable } from '@malote/outbox-core/postgres'
import { after } from '../clock.ts'

/** What became of the transaction of this number, asked in a later one: `in progress`, `committed` or `aborted`. */
export async function fateOf(sql: Queryable, transaction: string): Promise<unknown> {
  return (await sql.query('select pg_xact_status($1::xid8) as fate', [transaction])).rows[0]?.['fate']
}

/** Time for asking about a mere doubt: a handler that hangs may hold the last connection, and whoever waits gets an answer all the same. */
const doubtMs = 5_000

/** @throws an error when the work has not settled in time: it goes on, and does what it can */
export async function inTime<Result>(work: Promise<Result>): Promise<Result> {
  const tooLate = Promise.withResolvers<never>()
  const end = after(doubtMs, () => tooLate.reject(new Error('the database was asked, and has not answered in time')))
  work.catch(() => {})
  return Promise.race([work, tooLate.promise]).finally(end)
}
