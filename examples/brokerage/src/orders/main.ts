import { sql } from 'kysely'
import { type BreakerState, createExchangeClient } from '../b3/exchange-client.ts'
import { createDatabase, createPool, type Database } from '../database/database.ts'
import { runConsumers } from '../messaging/run-consumers.ts'
import { log } from '../process/log.ts'
import { report } from '../process/run-role.ts'
import { milliseconds, setting } from '../process/settings.ts'
import { pursueOrder } from './pursue-order.ts'
import { defaultOrderTimeoutMs, retryDelays, silenceOf } from './timing.ts'
import { watchOrders } from './watch-orders.ts'

const pool = createPool(setting('DATABASE_URL'), 1)
const db = createDatabase(pool)
const exchange = createExchangeClient(setting('B3_URL'), {
  openMs: milliseconds('B3_BREAKER_OPEN_MS', 5_000),
  onBreaker: (state) => {
    log.warn({ state }, 'the breaker before the exchange has changed')
    report({ type: 'event', name: 'breaker', detail: { state } })
    // For the metrics; the breaker itself lives here. A database that is away hears of the next change.
    noteBreaker(db, state).catch((error: unknown) => log.warn({ err: error }, 'the breaker was not noted'))
  },
})
const timeoutMs = milliseconds('ORDER_TIMEOUT_MS', defaultOrderTimeoutMs)
const firstRetryMs = milliseconds('B3_RETRY_MS', 2_000)
const timing = { timeoutMs, retryDelayMs: retryDelays(firstRetryMs) }
const silenceMs = silenceOf(timeoutMs, firstRetryMs)
const watch = watchOrders(
  db,
  { timeoutMs, silenceMs, everyMs: silenceMs / 5 },
  {
    onFound: (count) => log.warn({ count }, 'orders without a timeout were found and are looked at'),
    onError: (error) => log.warn({ err: error }, 'orders without a timeout were not looked for'),
  },
)

await runConsumers(
  (['orders', 'checks'] as const).map((name) => ({
    name,
    createHandler: (db, applyOnce, batching) => pursueOrder({ db, exchange, batching, ...timing }, applyOnce, name),
  })),
  async () => {
    await watch.stop()
    await exchange.close()
    await pool.end()
  },
)

async function noteBreaker(db: Database, state: BreakerState): Promise<void> {
  await sql`
    insert into breakers (name, state) values ('b3', ${state})
    on conflict (name) do update set state = excluded.state, changed_at = clock_timestamp()`.execute(db)
}
