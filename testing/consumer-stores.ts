import { randomUUID } from 'node:crypto'
import { createConsumerStore } from '../packages/outbox-core/src/consumer-store.ts'
import { createHeldStreams } from '../packages/outbox-core/src/held-streams.ts'
import { migrate } from '../packages/outbox-core/src/postgres/migrate.ts'
import type { ConsumerHarness } from '../packages/outbox-core/src/testing/consumer-conformance.ts'
import { createTestDatabase } from './database.ts'

export interface ConsumerStores {
  readonly consumerStore: NonNullable<ConsumerHarness['consumerStore']>
  close(): Promise<void>
}

/** Consumer stores in a database of their own, one for each case of the consumer kit. */
export async function openConsumerStores(postgresUrl: string): Promise<ConsumerStores> {
  const database = await createTestDatabase(postgresUrl)
  const db = database.pool()
  await migrate(db)
  return {
    consumerStore: () => {
      const consumer = randomUUID()
      return Promise.resolve({
        store: createConsumerStore({ db, consumer }),
        streams: createHeldStreams({ db }),
        consumer,
      })
    },
    close: () => database.drop(),
  }
}
