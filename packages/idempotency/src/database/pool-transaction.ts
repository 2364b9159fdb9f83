import { guardPool, type IsolationLevel, type Queryable } from '@malote/outbox-core/postgres'
import { endedByHandler, isTimeout } from '../errors.ts'
import { takeHandlerSavepoint } from './handler-savepoint.ts'
import { heardEnds } from './heard-ends.ts'
import { inline, type Statement } from './statement.ts'
import { explainCommit, explainOpening, type Opening, type Work } from './transaction-steps.ts'

/** The part of a `pg` pool that is used. */
export interface PgPool {
  connect(): Promise<PooledClient>
}

interface QueryResult {
  readonly rows: Record<string, unknown>[]
  readonly command?: string
}

/** The part of a pooled `pg` client that is used. */
export interface PooledClient extends Queryable {
  query(text: string, values?: unknown[]): Promise<QueryResult>
  getTransactionStatus?(): 'I' | 'T' | 'E' | null
  release(destroy?: boolean): void
  on?(event: 'error', listener: (error: Error) => void): unknown
  off?(event: 'error', listener: (error: Error) => void): unknown
}

/** In two round trips around the work. @throws as `runTransaction` */
export async function runOnPool<Result>(
  pool: PgPool,
  isolation: IsolationLevel,
  work: Work<Result>,
  opening: Opening,
): Promise<Result> {
  guardPool(pool)
  const client = await pool.connect()
  try {
    const ends = heardEnds(client)
    const { begun } = ends
    const rows = await begin(client, isolation, opening)
    const { ended } = ends
    let last: readonly Statement[] = []
    let check: Statement | null = null
    let isUnawaited = false
    const result = await work({
      tx: client,
      sql: client,
      rows,
      hasSavepoint: opening.withSavepoint === true,
      endWith: (statements) => void (last = statements),
      endAsBegun: (given) => void (check = given),
      endUnawaited: () => void (isUnawaited = true),
    })
    if (isUnawaited) {
      void succeeds(client, 'commit').then((hasEnded) => client.release(!hasEnded))
      return result
    }
    assertStillOpen(client)
    const isQuiet = ends.begun > begun && ends.ended === ended
    await commit(client, check === null || isQuiet ? last : [...last, check])
    // What the work has not waited for was answered between.
    if (check !== null && isQuiet && ends.ended !== ended + 1) throw endedByHandler()
    client.release(false)
    return result
  } catch (error) {
    // A handler that has not settled may go on using its connection: nobody else gets it, and nothing is waited for.
    client.release(isTimeout(error) || !(await succeeds(client, 'rollback')))
    throw error
  }
}

/** What one statement answers that is a transaction of its own: one round trip. */
export async function askPool(pool: PgPool, statement: Statement): Promise<readonly Record<string, unknown>[]> {
  guardPool(pool)
  const client = await pool.connect()
  let broken = true
  try {
    const { rows } = await client.query(inline([statement]))
    broken = false
    return rows
  } finally {
    client.release(broken)
  }
}

/** Whether a transaction could be ended. Nobody else gets a connection that cannot: the server rolls back when it closes. */
function succeeds(client: PooledClient, end: 'commit' | 'rollback'): Promise<boolean> {
  return client.query(end).then(
    () => true,
    () => false,
  )
}

/** Nothing but texts without parameters may share a round trip. */
async function begin(
  client: PooledClient,
  isolation: IsolationLevel,
  { statements = [], withSavepoint = false }: Opening,
): Promise<readonly Record<string, unknown>[]> {
  const texts = [`begin isolation level ${isolation}`]
  if (statements.length > 0) texts.push(inline(statements))
  if (withSavepoint) texts.push(takeHandlerSavepoint)
  const results = [await client.query(texts.join('; ')).catch(explainOpening)].flat() as readonly QueryResult[]
  return results.flatMap(({ rows }) => rows)
}

async function commit(client: PooledClient, last: readonly Statement[]): Promise<void> {
  let result: QueryResult | readonly QueryResult[]
  try {
    result = await client.query(last.length === 0 ? 'commit' : `${inline(last)}; commit`)
  } catch (error) {
    throw explainCommit(error)
  }
  // PostgreSQL answers COMMIT of a failed transaction with ROLLBACK and no error.
  if ([result].flat().at(-1)?.command === 'ROLLBACK')
    throw new Error('the transaction was aborted: a statement in it had failed, and PostgreSQL has rolled it back')
}

/** A handler that ends the transaction itself would have the rest run, and stay, outside of it. */
function assertStillOpen(client: PooledClient): void {
  if (client.getTransactionStatus?.() === 'I') throw endedByHandler()
}
