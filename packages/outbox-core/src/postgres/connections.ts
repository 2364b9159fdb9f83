import type { Clock } from '../clock.ts'
import { guardPool } from './guard-pool.ts'
import { type OwnTypes, ownTypes } from './own-types.ts'

/** The part of a `pg` pool that is used. The relay keeps a few connections for as long as it runs: give it a pool of its own. */
export interface RelayPool {
  connect(): Promise<RelayClient>
  /** Used where it exists, so that a lost connection cannot end the process: the relay listens for the errors of the pool and of its clients. */
  on?(event: 'error' | 'connect' | 'acquire', listener: () => void): unknown
}

/** The part of a `pg` pool client that is used. */
export interface RelayClient {
  query(
    statement:
      | string
      | { readonly name?: string | undefined; readonly text: string; readonly types?: OwnTypes | undefined },
    values?: unknown[],
  ): Promise<{ rows: Record<string, unknown>[]; rowCount?: number | null }>
  on(
    event: 'notification',
    listener: (message: { readonly channel: string; readonly payload?: string | undefined }) => void,
  ): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'end', listener: () => void): unknown
  release(destroy?: boolean | Error): void
}

/** Rows have the columns of their statement, read as `ownTypes` says. */
interface Result<Row = unknown> {
  readonly rows: readonly Row[]
  readonly rowCount?: number | null
}

/** One of the relay's database connections. Statements wait for each other; none waits longer for its answer than the timeout. */
export interface Connection {
  readonly pid: number
  query<Row = unknown>(text: string, values?: readonly unknown[]): Promise<Result<Row>>
  /** As `query`, but parsed and planned once under this name. Needs a session connection. */
  queryPrepared<Row = unknown>(name: string, text: string, values: readonly unknown[]): Promise<Result<Row>>
  /** Runs a statement that must see the newest row versions, whatever isolation the role defaults to. */
  queryReadCommitted<Row = unknown>(text: string, values: readonly unknown[]): Promise<Result<Row>>
  /**
   * Makes each statement from now on a transaction of its own with these settings, given as `set local` statements. Behind a
   * pooler the next one may run in another session, and a session's settings would be left to others.
   */
  setPerStatement(settings: string): void
  onNotification(listener: (channel: string, payload: string) => void): void
}

export interface Connections {
  readonly reader: Connection
  readonly settler: Connection
  readonly control: Connection
  /** Closes all three for good. Whatever still waits for an answer fails at once. */
  destroy(): void
}

export interface ConnectionLimits {
  /** Longest wait for a connection, and for the answer to a statement, in milliseconds. */
  readonly timeoutMs?: number
  /** Gives up connecting when it aborts. */
  readonly signal?: AbortSignal
}

/** How many connections a relay takes. */
export const neededConnections = 3

/** @see RelayOptions.databaseTimeoutMs */
export const defaultTimeoutMs = 30_000

/**
 * Takes three connections from the pool: one statement at a time runs on each, and a heartbeat never waits behind a read.
 *
 * Nothing in here waits for ever. A network that swallows packets answers neither the connecting nor the first query, so
 * each wait has the same limit. The first sign of a lost connection ends all other waits too.
 *
 * @param onLost - called at most once, with the first sign that one of them is gone
 */
export async function openConnections(
  pool: RelayPool,
  clock: Clock,
  onLost: (error: unknown) => void,
  { timeoutMs = defaultTimeoutMs, signal }: ConnectionLimits = {},
): Promise<Connections> {
  guardPool(pool)
  const clients: RelayClient[] = []
  // A promise that each of them raced with would keep all their answers for as long as it lives: it never ends by itself.
  const waiters = new Set<(error: unknown) => void>()
  let over: { readonly because: unknown } | null = null
  let isLost = false
  const end = (because: unknown): void => {
    over = { because }
    for (const reject of waiters) reject(because)
    waiters.clear()
  }
  const destroy = (): void => {
    if (over === null) end(new Error('the relay closed its connections'))
    for (const client of clients.splice(0)) close(client, isLost)
  }
  const lost = (error: unknown): void => {
    if (over !== null) return
    isLost = true
    end(error)
    onLost(error)
  }
  const within: Within = (what, waited) =>
    new Promise((resolve, reject) => {
      const cancel = clock.after(timeoutMs, () => lost(new Error(`${what} within ${String(timeoutMs)} ms`)))
      const settle = <Value>(how: (value: Value) => void, value: Value): void => {
        cancel()
        waiters.delete(reject)
        how(value)
      }
      waited.then(
        (value) => settle(resolve, value),
        (error: unknown) => settle(reject, error),
      )
      waiters.add(reject)
      if (over !== null) settle(reject, over.because)
    })
  const open = async (): Promise<Connection> => {
    const connecting = connectBefore(pool, timeoutMs)
    connecting.then(
      (client) => (over === null ? clients.push(client) : close(client, true)), // Too late: nobody waits for it any more.
      () => {}, // Reported below.
    )
    const client = await within('the database gave no connection', connecting)
    client.on('error', lost)
    client.on('end', () => lost(new Error('the database closed the connection')))
    speakText(client)
    const asked = client.query({ text: 'select pg_backend_pid() as pid', types: ownTypes })
    const { rows } = await within('the database did not answer', asked)
    return createConnection(client, Number(rows[0]?.['pid']), within)
  }
  const give = (): void => lost(new Error('the relay was stopped while it connected'))
  if (signal?.aborted === true) give()
  signal?.addEventListener('abort', give, { once: true })
  try {
    return { reader: await open(), settler: await open(), control: await open(), destroy }
  } catch (error) {
    isLost = true
    destroy()
    throw error
  } finally {
    signal?.removeEventListener('abort', give)
  }
}

/** Waits no longer than allowed. */
type Within = <Value>(what: string, waited: Promise<Value>) => Promise<Value>

/**
 * A pool without a limit of its own keeps the slot of an attempt to connect that never ends, until it has none left. pg-pool
 * looks at the limit as `connect` is called, so others who use the pool do not get ours.
 */
function connectBefore(pool: RelayPool, timeoutMs: number): Promise<RelayClient> {
  const { options } = pool as { options?: { connectionTimeoutMillis?: number | undefined } }
  if (options === undefined || (options.connectionTimeoutMillis ?? 0) > 0) return pool.connect()
  const before = options.connectionTimeoutMillis
  options.connectionTimeoutMillis = timeoutMs
  try {
    return pool.connect()
  } finally {
    options.connectionTimeoutMillis = before
  }
}

/** A connection that is lost is not asked to say goodbye: it would wait for an answer that does not come. */
function close(client: RelayClient, isLost: boolean): void {
  client.release(true)
  const { connection } = client as { connection?: { stream?: { destroy?(): void } } }
  if (isLost) connection?.stream?.destroy?.()
}

/** A client told to fetch everything in binary form would do so for our statements too. It is ours alone until it is closed. */
function speakText(client: RelayClient): void {
  const its = client as { binary?: boolean }
  if (its.binary === true) its.binary = false
}

/**
 * Whether each connection is a session of its own, as it is without a pooler in transaction mode. Such a pooler gives every
 * statement whichever session is free: asked at the same time, and more than once, the three show it.
 */
export async function areSessions({ reader, settler, control }: Connections): Promise<boolean> {
  const all = [reader, settler, control]
  if (new Set(all.map(({ pid }) => pid)).size < all.length) return false
  for (let round = 0; round < 3; round++) {
    const asked = all.map((connection) =>
      connection.query<{ pid: number }>('select pg_backend_pid() as pid, pg_sleep(0.005)'),
    )
    const pids = (await Promise.all(asked)).map(({ rows }) => rows[0]?.pid)
    if (all.some(({ pid }, at) => pid !== pids[at])) return false
  }
  return true
}

function createConnection(client: RelayClient, pid: number, within: Within): Connection {
  let last: Promise<unknown> = Promise.resolve()
  const inTurn = <Row>(work: () => Promise<Result<Row>>): Promise<Result<Row>> => {
    const turn = last.then(work, work)
    // Whoever asked hears of an error; the next one in line must not. Nor does it need the answer, which may be megabytes.
    last = turn.then(
      () => {},
      () => {},
    )
    return turn
  }
  const bounded = <Row>(text: string, values: readonly unknown[] = [], name?: string): Promise<Result<Row>> => {
    const statement = { text, types: ownTypes, ...(name === undefined ? {} : { name }) }
    const asked = client.query(statement, values as unknown[]) as Promise<Result<Row>>
    asked.catch(() => {}) // When the wait ends first, nobody else hears of it.
    return within('the database did not answer', asked)
  }
  let settings: string | null = null
  const alone = <Row>(work: () => Promise<Result<Row>>): Promise<Result<Row>> =>
    inTurn(() => (settings === null ? work() : inTransaction(bounded, settings, work)))
  return {
    pid,
    query: (text, values) => alone(() => bounded(text, values)),
    queryPrepared: (name, text, values) => alone(() => bounded(text, values, name)),
    queryReadCommitted: (text, values) =>
      inTurn(() => inTransaction(bounded, settings ?? '', () => bounded(text, values))),
    setPerStatement: (all) => {
      settings = all
    },
    onNotification: (listener) => {
      client.on('notification', ({ channel, payload }) => listener(channel, payload ?? ''))
    },
  }
}

/** The settings come with BEGIN, in one round trip. */
async function inTransaction<Row>(
  query: Connection['query'],
  settings: string,
  work: () => Promise<Result<Row>>,
): Promise<Result<Row>> {
  await query(`begin isolation level read committed read write; ${settings}`)
  try {
    const result = await work()
    await query('commit')
    return result
  } catch (error) {
    await query('rollback').catch(() => {}) // The first error is the one to report; a broken connection rolls back by itself.
    throw error
  }
}
