// #region lambda
import { createRelay, type Publisher, type RelayReport } from '@malote/outbox-core'
import type { Pool } from 'pg'

/** For a rule that runs every minute. Pool and publisher are made once, outside of the handler; a relay is made anew for each run. */
export function createRelayFunction(pool: Pool, publisher: Publisher): () => Promise<RelayReport> {
  return async () => {
    const report = await createRelay({ pool, publisher }).runOnce()
    if (report.isBrokerOut || report.deadLettered > 0) console.warn('outbox', report) // Alarm on it.
    return report
  }
}
// #endregion
