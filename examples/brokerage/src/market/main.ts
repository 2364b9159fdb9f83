import { createDatabase, createPool } from '../database/database.ts'
import { log } from '../process/log.ts'
import { seededRandom } from '../process/random.ts'
import { runRole } from '../process/run-role.ts'
import { setting } from '../process/settings.ts'
import { tick } from './ticker.ts'

/** Between two ticks. */
const everyMs = 1_000

await runRole(async () => {
  const pool = createPool(setting('DATABASE_URL'), 1)
  const db = createDatabase(pool)
  const random = seededRandom(Number(setting('MARKET_SEED', '1')))
  let ticking: Promise<void> = Promise.resolve()
  const timer = setInterval(() => {
    // A database that is away misses ticks; the market goes on when it is back.
    ticking = ticking.then(() => tick(db, random)).catch((error: unknown) => log.warn({ err: error }, 'no tick'))
  }, everyMs)
  return {
    stop: async () => {
      clearInterval(timer)
      await ticking
      await pool.end()
    },
  }
})
