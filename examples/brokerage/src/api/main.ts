import { createCpfCipher } from '../accounts/cpf.ts'
import { createDatabase, createPool } from '../database/database.ts'
import { defaultOrderTimeoutMs } from '../orders/timing.ts'
import { runRole } from '../process/run-role.ts'
import { milliseconds, setting } from '../process/settings.ts'
import { createApi } from './app.ts'
import { notePool } from './metrics.ts'
import { createTokens } from './tokens.ts'

await runRole(async () => {
  const pool = createPool(setting('DATABASE_URL'), 20)
  const limit = setting('REQUESTS_PER_MINUTE', '100')
  const api = await createApi({
    db: createDatabase(pool),
    tokens: await createTokens({
      secret: process.env['JWT_SECRET'],
      privateKey: process.env['JWT_PRIVATE_KEY'],
      publicKey: process.env['JWT_PUBLIC_KEY'],
    }),
    cpf: createCpfCipher(setting('CPF_SECRET')),
    pepper: setting('IDEMPOTENCY_PEPPER'),
    orderTimeoutMs: milliseconds('ORDER_TIMEOUT_MS', defaultOrderTimeoutMs),
    demo: process.env['DEMO'] === '1',
    requestsPerMinute: limit === 'none' ? null : Number(limit),
    controlUrl: process.env['CONTROL_URL'] ?? null,
  })
  const watching = setInterval(() => notePool(pool), 1_000)
  const url = await api.listen({ host: setting('HOST', '127.0.0.1'), port: Number(setting('API_PORT', '0')) })
  return {
    urls: { api: url },
    stop: async () => {
      clearInterval(watching)
      await api.close()
      await pool.end()
    },
  }
})
