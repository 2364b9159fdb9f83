import { createDatabase, createPool } from '../database/database.ts'
import { runRole } from '../process/run-role.ts'
import { setting } from '../process/settings.ts'
import { createApi } from './app.ts'

await runRole(async () => {
  const pool = createPool(setting('DATABASE_URL'), 20)
  const api = createApi({ db: createDatabase(pool), pepper: setting('IDEMPOTENCY_PEPPER') })
  const url = await api.listen({ host: '127.0.0.1', port: Number(setting('PORT', '0')) })
  return {
    urls: { api: url },
    stop: async () => {
      await api.close()
      await pool.end()
    },
  }
})
