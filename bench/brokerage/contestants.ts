import { readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import type pg from 'pg'
import { type Child, startChild } from '../../examples/brokerage/src/supervisor/child.ts'
import type { Brokerage } from '../../examples/brokerage/src/demo/start-brokerage.ts'
import { type Load, sendOrders } from './load.ts'

/** What one contestant brought through in the measured time. */
export interface Outcome {
  readonly load: Load
  /** Orders that ended in the measured time, in a second. */
  readonly settledPerSecond: number
}

export interface Measured {
  readonly tokens: readonly string[]
  readonly warmUpMs: number
  readonly measuredMs: number
}

const entry = (file: string): string => `../../../bench/brokerage/${file}`

/** The route that only inserts a row. Its "settled" orders are those it has inserted. */
export async function measureBareRoute({ databaseUrl }: Brokerage, measured: Measured): Promise<Outcome> {
  const route = await startChild({ entry: entry('bare-route.ts'), env: { DATABASE_URL: databaseUrl } })
  try {
    const load = await sendOrders({ apiUrl: route.urls['api'] ?? '', ...measured })
    return { load, settledPerSecond: load.latenciesMs.length / load.seconds }
  } finally {
    await route.stop()
  }
}

/** The same flow, built as the predecessors did. */
export async function measurePredecessor(brokerage: Brokerage, measured: Measured): Promise<Outcome> {
  const { pool, databaseUrl, brokerUrl } = brokerage
  await pool.query(await readFile(new URL('predecessor.sql', import.meta.url), 'utf8'))
  await pool.query(
    `insert into predecessor.accounts (account_id, token, cash)
     select 'ACC-' || n, token, 2000000000 from unnest($1::text[]) with ordinality as given (token, n)`,
    [measured.tokens],
  )
  const env = { DATABASE_URL: databaseUrl, BROKER_URL: brokerUrl, B3_URL: brokerage.exchangeUrl, LOG_LEVEL: 'error' }
  const children: Child[] = []
  const start = async (part: string): Promise<Child> => {
    const child = await startChild({ entry: entry('predecessor.ts'), env: { ...env, PART: part, ROLE: part } })
    children.push(child)
    return child
  }
  try {
    // The consumers make the exchange and the queues.
    await Promise.all([start('orders'), start('balances')])
    const [api] = await Promise.all([start('api'), start('dispatcher')])
    const load = await sendOrders({ apiUrl: api.urls['api'] ?? '', ...measured })
    return { load, settledPerSecond: await settledPerSecond(pool, 'predecessor', load) }
  } finally {
    await Promise.all(children.map((child) => child.stop(2_000)))
    await pool.query('drop schema predecessor cascade')
  }
}

/** @throws Error when orders stay open: whatever was measured, it was no brokerage that works */
export async function measureBrokerage(
  { apiUrl, pool }: Pick<Brokerage, 'apiUrl' | 'pool'>,
  measured: Measured,
  patienceMs?: number,
): Promise<Outcome> {
  const load = await sendOrders({ apiUrl, ...measured })
  const settled = await settledPerSecond(pool, 'brokerage', load)
  await untilAllClosed(pool, patienceMs)
  return { load, settledPerSecond: settled }
}

/** What was accepted and settled: the smaller of the two, so that neither a queue that grows nor one that empties counts. */
export function throughputOf({ load, settledPerSecond }: Outcome): number {
  return Math.min(load.latenciesMs.length / load.seconds, settledPerSecond)
}

async function settledPerSecond(pool: pg.Pool, schema: string, { from, to, seconds }: Load): Promise<number> {
  const { rows } = await pool.query<{ count: number }>(
    `select count(*) as count from ${schema}.orders where state = 'SETTLED' and updated_at between $1 and $2`,
    [from, to],
  )
  return Number(rows[0]?.count) / seconds
}

/**
 * Waits until every order has ended.
 *
 * @param patienceMs - longest time in which none ends
 * @throws Error when so much time has passed
 */
export async function untilAllClosed(pool: pg.Pool, patienceMs = 60_000): Promise<void> {
  let [open, sinceMs] = [Number.POSITIVE_INFINITY, performance.now()]
  for (;;) {
    const { rows } = await pool.query<{ open: number }>(
      'select count(*)::integer as open from brokerage.orders where is_open',
    )
    const left = rows[0]?.open ?? 0
    if (left === 0) return
    if (left < open) [open, sinceMs] = [left, performance.now()]
    else if (performance.now() > sinceMs + patienceMs)
      throw new Error(
        `${left === 1 ? '1 order has' : `${String(left)} orders have`} not ended, and none has for ${String(patienceMs)} ms`,
      )
    await pause(50)
  }
}
