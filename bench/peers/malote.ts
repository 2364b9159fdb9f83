import { createRelay, migrate, type OutboxMessage, type Publisher, type RelayOptions } from '@malote/outbox-core'
import { payloadText, topic, type } from '../harness/load.ts'
import type { BenchDatabase } from '../harness/server.ts'
import type { Drainer } from './drainer.ts'

/** Which messages share an ordering key. */
export type Keys = 'none' | '10k' | 'half-on-one'

const keyExpressions: Readonly<Record<Keys, string>> = {
  none: 'null',
  '10k': `'account-' || n % 10000`,
  'half-on-one': `case when n % 2 = 0 then 'hot' end`,
}

export interface MaloteDrainerOptions {
  readonly keys?: Keys
  readonly relay?: Partial<RelayOptions>
  readonly publisher?: (onMessages: (batch: readonly OutboxMessage[]) => void) => Publisher
  /** Relays at work together. @defaultValue 1 */
  readonly relays?: number
}

export async function createMaloteDrainer(
  database: BenchDatabase,
  { keys = 'none', relay = {}, publisher = noopPublisher, relays = 1 }: MaloteDrainerOptions = {},
): Promise<Drainer> {
  await migrate(database.admin)
  return {
    name: 'malote',
    clear: () => database.admin.query('truncate malote.messages, malote.archived_messages'),
    fill: (count) => fillMessages(database, count, keys),
    vacuum: () => database.admin.query('vacuum analyze malote.messages'),
    start: (onMessages) => {
      const running = Array.from({ length: relays }, () => {
        const pool = database.pool({ max: 5 })
        const one = createRelay({
          pool,
          publisher: publisher((batch) => onMessages(batch.length)),
          durableSettles: true,
          ...relay,
        })
        one.start()
        return { stop: () => one.stop().then(() => pool.end()) }
      })
      return Promise.resolve({ stop: () => Promise.all(running.map((one) => one.stop())) })
    },
    isEmpty: async () => {
      const { rows } = await database.admin.query('select not exists (select from malote.messages) as empty')
      return rows[0].empty === true
    },
  }
}

export async function fillMessages({ admin }: BenchDatabase, count: number, keys: Keys = 'none'): Promise<void> {
  await admin.query(
    `insert into malote.messages (topic, type, ordering_key, payload)
     select $1, $2, ${keyExpressions[keys]}, $3 from generate_series(1, $4) as n`,
    [topic, type, payloadText, count],
  )
}

/** A broker that takes no time at all: what is left is the relay. */
export function noopPublisher(onMessages: (batch: readonly OutboxMessage[]) => void): Publisher {
  return {
    name: 'noop',
    publish: (batch) => {
      onMessages(batch)
      return Promise.resolve(batch.map(({ id }) => ({ id, status: 'accepted' })))
    },
    close: () => Promise.resolve(),
  }
}
