/** Brings the database up to date and makes what the roles expect of the broker, before they start. */
import { prepareBroker } from '../messaging/broker.ts'
import { log } from '../process/log.ts'
import { setting } from '../process/settings.ts'
import { createPool } from './database.ts'
import { migrateAll } from './migrate.ts'

const pool = createPool(setting('DATABASE_URL'), 2)
try {
  await migrateAll(pool)
  await prepareBroker(process.env)
  log.info('the database and the broker are prepared')
} finally {
  await pool.end()
}
