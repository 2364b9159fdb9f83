import { migrateIdempotency } from '@malote/idempotency'
import { createConsole } from '@malote/outbox-core/console'
import { createCpfCipher } from '../accounts/cpf.ts'
import { createDatabase, createPool } from '../database/database.ts'
import { isSettlementBehind } from '../orders/settlement-lag.ts'
import { defaultOrderTimeoutMs } from '../orders/timing.ts'
import { log } from '../process/log.ts'
import { runRole } from '../process/run-role.ts'
import { milliseconds, setting } from '../process/settings.ts'
import { createApi } from './app.ts'
import { createRedisCache, noCache } from './cache.ts'
import { noteBehind, notePool } from './metrics.ts'
import { outboxConsolePath } from './outbox-console.ts'
import { createPace } from './pace.ts'
import { createTokens } from './tokens.ts'

await runRole(async () => {
  const pool = createPool(setting('DATABASE_URL'), 20)
  const demo = process.env['DEMO'] === '1'
  const consoleToken = process.env['MALOTE_CONSOLE_TOKEN']
  const cacheUrl = process.env['CACHE_URL'] ?? ''
  const cache = cacheUrl === '' ? noCache : await createRedisCache(cacheUrl, setting('DATABASE_URL'))
  const limit = setting('REQUESTS_PER_MINUTE', '100')
  const db = createDatabase(pool)
  const pace = createPace({
    isBehind: () => isSettlementBehind(db),
    onError: (error) => log.warn({ err: error }, 'settlement was not looked at: orders are accepted without a wait'),
    onChange: noteBehind,
  })
  const api = await createApi({
    db,
    pool,
    tokens: await createTokens({
      secret: process.env['JWT_SECRET'],
      privateKey: process.env['JWT_PRIVATE_KEY'],
      publicKey: process.env['JWT_PUBLIC_KEY'],
    }),
    cpf: createCpfCipher(setting('CPF_SECRET')),
    pepper: setting('IDEMPOTENCY_PEPPER'),
    orderTimeoutMs: milliseconds('ORDER_TIMEOUT_MS', defaultOrderTimeoutMs),
    demo,
    cache,
    pace,
    requestsPerMinute: limit === 'none' ? null : Number(limit),
    controlUrl: process.env['CONTROL_URL'] ?? null,
    // In the demo everybody may break things, and mend them. Elsewhere it is there for whoever has the token.
    ...(demo || consoleToken !== undefined
      ? {
          outboxConsole: createConsole({
            pool,
            basePath: outboxConsolePath,
            access: consoleToken === undefined ? 'loopback' : { token: consoleToken },
            allowActions: true,
            migrateIdempotency,
          }),
        }
      : {}),
  })
  const watching = setInterval(() => notePool(pool), 1_000)
  const url = await api.listen({ host: setting('HOST', '127.0.0.1'), port: Number(setting('API_PORT', '0')) })
  return {
    urls: { api: url },
    stop: async () => {
      clearInterval(watching)
      // Those who wait are finished with the others; the last look is over before the pool ends.
      await pace.stop()
      await api.close()
      await cache.close()
      await pool.end()
    },
  }
})
