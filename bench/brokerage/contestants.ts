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

export async function measureBrokerage(brokerage: Brokerage, measured: Measured): Promise<Outcome> {
  const load = await sendOrders({ apiUrl: brokerage.apiUrl, ...measured })
  const settled = await settledPerSecond(brokerage.pool, 'brokerage', load)
  await whenAllClosed(brokerage.pool)
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

const patienceMs = 60_000

/** Waits until every order has ended. @returns whether all have, within our patience */
export async function whenAllClosed(pool: pg.Pool): Promise<boolean> {
  const giveUpMs = performance.now() + patienceMs
  for (;;) {
    const { rows } = await pool.query(`select not exists (select from brokerage.orders where is_open) as done`)
    if (rows[0].done === true) return true
    if (performance.now() > giveUpMs) return false
    await pause(50)
  }
}
