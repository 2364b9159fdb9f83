import { createHash } from 'node:crypto'
import pg from 'pg'

/** Statements with more are written for some number of rows, and the next one is for another: not worth a plan in every session. */
const maxParameters = 16

/** By text. What this program can write with few parameters is a small number of texts. */
const names = new Map<string, string>()

/**
 * A client that prepares its statements with parameters, once for each session: PostgreSQL parses and plans it the first
 * times and then only runs it, which saves a quarter of what a short statement costs. Kysely itself has no such option.
 *
 * Needs sessions: behind a pooler in transaction mode, one that knows prepared statements (PgBouncer from 1.21). A session that
 * was open while a migration changed the columns of a `select *` fails once for each such statement; here nothing migrates a
 * running brokerage.
 */
export class PreparingClient extends pg.Client {
  override query = ((statement: unknown, values: unknown, ...rest: unknown[]): unknown => {
    const query = super.query.bind(this) as (...args: unknown[]) => unknown
    const isPrepared =
      typeof statement === 'string' && Array.isArray(values) && values.length > 0 && values.length <= maxParameters
    if (!isPrepared) return query(statement, values, ...rest)
    return query({ name: nameOf(statement), text: statement, values }, ...rest)
  }) as pg.Client['query']
}

function nameOf(text: string): string {
  let name = names.get(text)
  if (name === undefined) names.set(text, (name = createHash('sha256').update(text).digest('base64url')))
  return name
}
