import { createPool } from '../database/database.ts'
import { exchangeSchema } from '../database/migrate.ts'
import { runRole } from '../process/run-role.ts'
import { setting } from '../process/settings.ts'
import { parseBehaviour } from './behaviour.ts'
import { createExchangeServer } from './exchange-server.ts'

await runRole(async () => {
  const pool = createPool(setting('DATABASE_URL'), 10, exchangeSchema)
  const server = createExchangeServer({ pool, behaviour: parseBehaviour(setting('B3_BEHAVIOUR', '{}')) })
  const url = await server.listen({ host: setting('HOST', '127.0.0.1'), port: Number(setting('B3_PORT', '0')) })
  return {
    urls: { b3: url },
    stop: async () => {
      await server.close()
      await pool.end()
    },
  }
})
