import { type PostgresService, startPostgres } from '@malote/testing/services/postgres'
import pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createOutbox, createRelay, migrate, type RelayEvent } from '../../src/index.ts'
import { createMemoryBroker, createRecordingObserver, eventually } from '../../src/testing/index.ts'

let server: PostgresService
let pool: pg.Pool

beforeAll(async () => {
  server = await startPostgres()
  pool = new pg.Pool({ connectionString: server.url })
  pool.on('error', () => {}) // The server is crashed on purpose.
  await migrate(pool)
})
afterAll(async () => {
  await pool.end()
  await server.stop('fast')
})

async function add(count: number): Promise<readonly string[]> {
  const client = await pool.connect()
  await client.query('begin')
  const messages = Array.from({ length: count }, (_, n) => ({
    topic: 't',
    type: 'x',
    payload: { n },
    orderingKey: `k${String(n % 7)}`,
  }))
  const ids = await createOutbox().addAll(client, messages)
  await client.query('commit')
  client.release()
  return ids
}

it('a server that crashes while settles are not yet on its disk costs repetitions, never a message (race 20)', async () => {
  const broker = createMemoryBroker()
  const observer = createRecordingObserver<RelayEvent>()
  const relayPool = new pg.Pool({ connectionString: server.url })
  relayPool.on('error', () => {})
  const relay = createRelay({ pool: relayPool, publisher: broker, onEvent: observer.onEvent, batchSize: 50 })
  relay.start()
  const ids: string[] = []

  for (let crash = 0; crash < 3; crash++) {
    const before = broker.accepted.length
    ids.push(...(await add(500)))
    await broker.received(before + 100)
    observer.clear()
    await server.stop('immediate')
    await server.start()
    await observer.waitFor('database.reconnected', () => true, 30_000)
    ids.push(...(await add(100)))
  }
  await eventually(async () => {
    expect((await pool.query('select count(*)::integer as n from malote.messages')).rows).toEqual([{ n: 0 }])
  })
  await relay.stop()
  await relayPool.end()

  const accepted = new Set(broker.accepted.map(({ id }) => id))
  expect(ids.filter((id) => !accepted.has(id))).toEqual([])
})
