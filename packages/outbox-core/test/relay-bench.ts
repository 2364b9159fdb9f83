import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import type pg from 'pg'
import {
  createOutbox,
  createRelay,
  grantStatements,
  migrate,
  type NewMessage,
  type Relay,
  type RelayEvent,
  type RelayOptions,
  type RolePurpose,
} from '../src/index.ts'
import {
  createMemoryBroker,
  createRecordingObserver,
  type MemoryBroker,
  type RecordingObserver,
} from '../src/testing/index.ts'

export const aMessage = (change: Partial<NewMessage> = {}): NewMessage => ({
  topic: 'orders',
  type: 'order.accepted',
  payload: { amount: 1000 },
  ...change,
})

export interface StartedRelay {
  readonly relay: Relay
  readonly broker: MemoryBroker
  readonly observer: RecordingObserver<RelayEvent>
}

type BenchRole = Exclude<RolePurpose, 'consumer'>
const benchRoles: readonly BenchRole[] = ['writer', 'relay', 'operator', 'consumer-store', 'reader']

/** A migrated database of its own, with relays that are stopped after each test. */
export interface RelayBench {
  readonly database: TestDatabase
  /** The owner's: what a test prepares and looks at. */
  readonly pool: pg.Pool
  /** What the code under test is given, so that `npm run test:roles` shows that the documented grants suffice. */
  readonly as: Readonly<Record<BenchRole, pg.Pool>>
  /** The database's address for a process under test. */
  readonly urlAs: Readonly<Record<BenchRole, string>>
  /** A pool of its own for a relay under test. */
  relayPool(config?: pg.PoolConfig): pg.Pool
  /** Commits messages in one transaction. */
  add(...messages: NewMessage[]): Promise<readonly string[]>
  /** A relay on a memory broker, not started. */
  relay(options?: Partial<RelayOptions>): StartedRelay
  count(table: string): Promise<number>
  /** Stops every relay and empties the tables. */
  reset(): Promise<void>
}

export async function createRelayBench(serverUrl: string): Promise<RelayBench> {
  const database = await createTestDatabase(serverUrl)
  const pool = database.pool({ max: 30 })
  await migrate(pool)
  const urlAs = {} as Record<BenchRole, string>
  const as = {} as Record<BenchRole, pg.Pool>
  for (const role of benchRoles) {
    // As docs/operations.md advises for who looks for a cause: without it the doctor says that it does not see other sessions.
    const seesSessions = role === 'operator' || role === 'reader'
    urlAs[role] = await database.urlAs((name) => [
      ...grantStatements(name, role),
      ...(seesSessions ? [`grant pg_read_all_stats to ${name};`] : []),
    ])
    as[role] = database.pool({ max: 30, connectionString: urlAs[role] })
  }
  const relayPool: RelayBench['relayPool'] = (config) => database.pool({ connectionString: urlAs.relay, ...config })
  const relays: Relay[] = []
  return {
    database,
    pool,
    as,
    urlAs,
    relayPool,
    add: async (...messages) => {
      const client = await as.writer.connect()
      await client.query('begin')
      const ids = await createOutbox().addAll(client, messages)
      await client.query('commit')
      client.release()
      return ids
    },
    relay: (options = {}) => {
      const broker = createMemoryBroker()
      const observer = createRecordingObserver<RelayEvent>()
      const relay = createRelay({
        pool: relayPool(),
        publisher: broker,
        onEvent: observer.onEvent,
        backoff: () => 20,
        outageBackoff: () => 20,
        ...options,
      })
      relays.push(relay)
      return { broker, observer, relay }
    },
    count: async (table) => (await pool.query(`select count(*)::integer as n from malote.${table}`)).rows[0].n,
    reset: async () => {
      await Promise.all(relays.splice(0).map((relay) => relay.stop({ graceMs: 100 })))
      await database.truncate(
        'malote.messages, malote.scheduled_messages, malote.dead_letters, malote.held_keys, malote.relays cascade',
      )
      await pool.query('insert into malote.lanes (lane) select generate_series(0, 63) on conflict do nothing')
    },
  }
}
