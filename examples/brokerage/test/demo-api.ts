import type { FastifyInstance } from 'fastify'
import type pg from 'pg'
import { createCpfCipher } from '../src/accounts/cpf.ts'
import { type ApiOptions, createApi } from '../src/api/app.ts'
import { createTokens } from '../src/api/tokens.ts'
import { createDatabase, type Database } from '../src/database/database.ts'
import { migrateAll } from '../src/database/migrate.ts'
import { demoSecret, openAccounts } from '../src/demo/accounts.ts'

/** The API of the demo on an empty database, with its accounts, and nobody who limits requests. */
export async function createDemoApi(
  pool: pg.Pool,
  more: Partial<ApiOptions> = {},
): Promise<{ readonly api: FastifyInstance; readonly db: Database }> {
  const db = createDatabase(pool)
  await migrateAll(pool)
  await openAccounts(db)
  const api = await createApi({
    db,
    pool,
    tokens: await createTokens({ secret: 'sixteen bytes or more' }),
    cpf: createCpfCipher(demoSecret),
    pepper: 'sixteen bytes or more',
    orderTimeoutMs: 300_000,
    demo: true,
    requestsPerMinute: null,
    controlUrl: null,
    ...more,
  })
  return { api, db }
}
