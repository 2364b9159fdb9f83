import { grantStatements } from '@malote/outbox-core'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import type pg from 'pg'
import { migrateIdempotency } from '../src/index.ts'

export interface ConsumerDatabase extends TestDatabase {
  /** For what a service has no right to: another schema, a trigger on our tables. */
  readonly owner: pg.Pool
}

/**
 * A database with our tables, as a service sees it. Under `npm run test:roles` its address, pools and clients are those of a role that has
 * the documented grants of a `consumer`, and may make tables of its own.
 */
export async function createConsumerDatabase(serverUrl: string): Promise<ConsumerDatabase> {
  const database = await createTestDatabase(serverUrl)
  const owner = database.pool()
  await migrateIdempotency(owner)
  const url = await database.urlAs((role) => [
    ...grantStatements(role, 'consumer'),
    `grant create on schema public to ${role};`,
  ])
  return {
    ...database,
    url,
    owner,
    pool: (config) => database.pool({ connectionString: url, ...config }),
    client: () => database.client({ connectionString: url }),
  }
}
