import type { Clock } from '../clock.ts'
import { guardPool } from '../postgres/guard-pool.ts'
import type { RelayClient, RelayPool } from './relay-options.ts'

interface Result {
  readonly rows: Record<string, unknown>[]
  readonly rowCount?: number | null
}

/** One of the relay's database connections. Statements wait for each other. */
export interface Connection {
  readonly pid: number
  query(text: string, values?: unknown[]): Promise<Result>
  /** As `query`, but parsed and planned once under this name. Needs a session connection. */
  queryPrepared(name: string, text: string, values: unknown[]): Promise<Result>
  /** Runs a statement that must see the newest row versions, whatever isolation the role defaults to. */
  queryReadCommitted(text: string, values: unknown[]): Promise<Result>
  onNotification(listener: (channel: string, payload: string) => void): void
}

export interface Connections {
  readonly reader: Connection
  readonly settler: Connection
  readonly control: Connection
  /** Closes all three for good. */
  destroy(): void
}

/** Longest a statement may take before its connection counts as dead, in milliseconds: a half-open socket never answers. */
const statementTimeoutMs = 60_000

/**
 * Takes three connections from the pool: one statement at a time runs on each, and a heartbeat never waits behind a read.
 *
 * @param onLost - called at most once, with the first sign that one of them is gone
 */
export async function openConnections(
  pool: RelayPool,
  clock: Clock,
  onLost: (error: unknown) => void,
): Promise<Connections> {
  guardPool(pool)
  const clients: RelayClient[] = []
  let isOver = false
  const destroy = (): void => {
    isOver = true
    for (const client of clients.splice(0)) client.release(true)
  }
  const lost = (error: unknown): void => {
    if (isOver) return
    isOver = true
    onLost(error)
  }
  const open = async (): Promise<Connection> => {
    const client = await pool.connect()
    clients.push(client)
    client.on('error', lost)
    client.on('end', () => lost(new Error('the database closed the connection')))
    const { rows } = await client.query('select pg_backend_pid() as pid')
    return createConnection(client, Number(rows[0]?.['pid']), clock, lost)
  }
  try {
    return { reader: await open(), settler: await open(), control: await open(), destroy }
  } catch (error) {
    destroy()
    throw error
  }
}

/**
 * Whether each connection is a session of its own, as it is without a pooler in transaction mode. Such a pooler gives every
 * statement whichever session is free: asked at the same time, and more than once, the three show it.
 */
export async function areSessions({ reader, settler, control }: Connections): Promise<boolean> {
  const all = [reader, settler, control]
  if (new Set(all.map(({ pid }) => pid)).size < all.length) return false
  for (let round = 0; round < 3; round++) {
    const asked = all.map((connection) => connection.query('select pg_backend_pid() as pid, pg_sleep(0.005)'))
    const pids = (await Promise.all(asked)).map(({ rows }) => Number(rows[0]?.['pid']))
    if (all.some(({ pid }, at) => pid !== pids[at])) return false
  }
  return true
}

function createConnection(client: RelayClient, pid: number, clock: Clock, lost: (error: unknown) => void): Connection {
  let last: Promise<unknown> = Promise.resolve()
  const inTurn = (work: () => Promise<Result>): Promise<Result> => {
    const turn = last.then(work, work)
    last = turn.catch(() => {}) // Whoever asked hears of it; the next one in line must not.
    return turn
  }
  const bounded = async (text: Parameters<RelayClient['query']>[0], values?: unknown[]): Promise<Result> => {
    const cancel = clock.after(statementTimeoutMs, () =>
      lost(new Error(`the database did not answer for ${String(statementTimeoutMs)} ms`)),
    )
    try {
      return await client.query(text, values)
    } finally {
      cancel()
    }
  }
  return {
    pid,
    query: (text, values) => inTurn(() => bounded(text, values)),
    queryPrepared: (name, text, values) => inTurn(() => bounded({ name, text }, values)),
    queryReadCommitted: (text, values) => inTurn(() => readCommitted(bounded, text, values)),
    onNotification: (listener) => {
      client.on('notification', ({ channel, payload }) => listener(channel, payload ?? ''))
    },
  }
}

async function readCommitted(query: Connection['query'], text: string, values: unknown[]): Promise<Result> {
  await query('begin isolation level read committed')
  try {
    const result = await query(text, values)
    await query('commit')
    return result
  } catch (error) {
    await query('rollback').catch(() => {}) // The first error is the one to report; a broken connection rolls back by itself.
    throw error
  }
}
