import { createExchangeClient } from '../b3/exchange-client.ts'
import { runConsumers } from '../messaging/run-consumers.ts'
import { log } from '../process/log.ts'
import { report } from '../process/run-role.ts'
import { milliseconds, setting } from '../process/settings.ts'
import { pursueOrder } from './pursue-order.ts'
import { defaultOrderTimeoutMs, retryDelays } from './timing.ts'

const exchange = createExchangeClient(setting('B3_URL'), {
  openMs: milliseconds('B3_BREAKER_OPEN_MS', 5_000),
  onBreaker: (state) => {
    log.warn({ state }, 'the breaker before the exchange has changed')
    report({ type: 'event', name: 'breaker', detail: { state } })
  },
})
const timing = {
  timeoutMs: milliseconds('ORDER_TIMEOUT_MS', defaultOrderTimeoutMs),
  retryDelayMs: retryDelays(milliseconds('B3_RETRY_MS', 2_000)),
}

await runConsumers(
  (['orders', 'checks'] as const).map((name) => ({
    name,
    createHandler: (db, applyOnce) => pursueOrder({ db, exchange, ...timing }, applyOnce, name),
  })),
  () => exchange.close(),
)
