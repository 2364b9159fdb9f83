import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { type ConsumerStore, createConsumerStore } from '../packages/outbox-core/src/consumer-store.ts'
import { createHeldStreams, type HeldStreams } from '../packages/outbox-core/src/held-streams.ts'
import { migrate } from '../packages/outbox-core/src/postgres/migrate.ts'
import type { ConsumerHarness } from '../packages/outbox-core/src/testing/consumer-conformance.ts'
import { createTestDatabase, type TestDatabase } from './database.ts'

export interface ConsumerStores {
  readonly database: TestDatabase
  readonly db: pg.Pool
  /** What a consumer of its own has. */
  setup(): { readonly store: ConsumerStore; readonly streams: HeldStreams; readonly consumer: string }
  /** The same, as the kit asks for it. */
  readonly consumerStore: NonNullable<ConsumerHarness['consumerStore']>
  close(): Promise<void>
}

/** Consumer stores in a database of their own, one for each case. */
export async function openConsumerStores(postgresUrl: string): Promise<ConsumerStores> {
  const database = await createTestDatabase(postgresUrl)
  const db = database.pool()
  await migrate(db)
  const setup: ConsumerStores['setup'] = () => {
    const consumer = randomUUID()
    return { store: createConsumerStore({ db, consumer }), streams: createHeldStreams({ db }), consumer }
  }
  return { database, db, setup, consumerStore: () => Promise.resolve(setup()), close: () => database.drop() }
}
