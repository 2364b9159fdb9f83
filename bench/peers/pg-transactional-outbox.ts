import { DatabaseSetup, getDisabledLogger, initializePollingMessageListener } from 'pg-transactional-outbox'
import type pg from 'pg'
import { payloadText, topic, type } from '../harness/load.ts'
import type { BenchDatabase } from '../harness/server.ts'
import type { Drainer } from './drainer.ts'

/**
 * Its polling listener, which like ours needs no replication slot. Messages are declared parallel, the only kind that is
 * fetched in batches, and the batch is full from the start (by default the first ones are of one message).
 */
const batchSize = 100
const setup = {
  outboxOrInbox: 'outbox',
  database: 'postgres',
  schema: 'public',
  table: 'outbox',
  listenerRole: 'postgres',
  nextMessagesName: 'next_outbox_messages',
} as const

export const pgTransactionalOutboxConfiguration =
  'polling listener, parallel messages, nextMessagesBatchSize 100, nextMessagesPollingIntervalInMs 5, pools of 20, poisonous and attempt protection off (the default of outboxes)'

export async function createPgTransactionalOutboxDrainer(database: BenchDatabase): Promise<Drainer> {
  for (const statement of [
    DatabaseSetup.dropAndCreateTable(setup),
    DatabaseSetup.createPollingFunction(setup),
    DatabaseSetup.setupPollingIndexes(setup),
  ])
    await database.admin.query(statement)
  return {
    name: 'pg-transactional-outbox',
    clear: () => database.admin.query('truncate outbox'),
    fill: (count) =>
      database.admin.query(
        `insert into outbox (id, aggregate_type, aggregate_id, message_type, concurrency, payload)
         select gen_random_uuid(), $1, n::text, $2, 'parallel', $3::jsonb from generate_series(1, $4) as n`,
        [topic, type, payloadText, count],
      ),
    vacuum: () => database.admin.query('vacuum analyze outbox'),
    start: (onMessages) => {
      const [stop] = initializePollingMessageListener(
        {
          outboxOrInbox: 'outbox',
          // Typed as a client's, handed to a pool.
          dbListenerConfig: { connectionString: database.url, max: 20 } as pg.PoolConfig,
          settings: {
            dbSchema: 'public',
            dbTable: 'outbox',
            nextMessagesFunctionSchema: 'public',
            nextMessagesFunctionName: setup.nextMessagesName,
            nextMessagesBatchSize: batchSize,
            nextMessagesPollingIntervalInMs: 5,
            nextMessagesLockInMs: 60_000,
            enableMaxAttemptsProtection: false,
            enablePoisonousMessageProtection: false,
            messageCleanupIntervalInMs: 0,
          },
        },
        {
          handle: () => {
            onMessages(1)
            return Promise.resolve()
          },
        },
        getDisabledLogger(),
        { batchSizeStrategy: () => Promise.resolve(batchSize) },
      )
      return Promise.resolve({ stop })
    },
    isEmpty: async () => {
      const { rows } = await database.admin.query(
        'select not exists (select from outbox where processed_at is null) as empty',
      )
      return rows[0].empty === true
    },
  }
}
