import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import type pg from 'pg'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { createOutbox, createRelay, cutOff, grantStatements, migrate, outboxStatus, type Relay } from '../src/index.ts'
import { createMemoryBroker } from '../src/testing/index.ts'
import { aMessage } from './relay-bench.ts'

/** Three schemas in the first database, and one each in two others: five outboxes. */
const places = [
  { shard: 0, schema: 'money' },
  { shard: 0, schema: 'Mail "box"' },
  { shard: 0, schema: 'malote' },
  { shard: 1, schema: 'malote' },
  { shard: 2, schema: 'malote' },
] as const
let databases: TestDatabase[]
let pools: pg.Pool[]
let relayPools: pg.Pool[]

beforeAll(async () => {
  databases = await Promise.all([0, 1, 2].map(() => createTestDatabase(inject('postgresUrl'))))
  pools = databases.map((database) => database.pool({ max: 20 }))
  for (const { shard, schema } of places) await migrate(pools[shard] as pg.Pool, { schema })
  relayPools = await Promise.all(
    databases.map(async (database, shard) => {
      const schemas = places.filter((place) => place.shard === shard).map(({ schema }) => schema)
      const url = await database.urlAs((role) =>
        schemas.flatMap((schema) => grantStatements(role, 'relay', { schema })),
      )
      return database.pool({ max: 20, connectionString: url })
    }),
  )
})
afterAll(() => Promise.all(databases.map((database) => database.drop())))

async function add(shard: number, schema: string, count: number): Promise<readonly string[]> {
  const client = await (pools[shard] as pg.Pool).connect()
  await client.query('begin')
  const messages = Array.from({ length: count }, (_, n) => aMessage({ orderingKey: 'account-17', payload: n }))
  const ids = await createOutbox({ schema }).addAll(client, messages)
  await client.query('commit')
  client.release()
  return ids
}

it('three outboxes in one database and three databases behind one process neither mix, nor miss, nor wait for each other', async () => {
  const broker = createMemoryBroker()
  const start = ({ shard, schema }: (typeof places)[number]): Relay => {
    const relay = createRelay({ pool: relayPools[shard] as pg.Pool, schema, publisher: broker, onEvent: () => {} })
    relay.start()
    return relay
  }
  const relays = places.map(start)
  const added = await Promise.all(places.map(({ shard, schema }) => add(shard, schema, 20)))
  await broker.received(100)
  await relays[0]?.stop() // Its outbox stands still; the others of its database and of its process do not.
  const kept = await add(0, 'money', 3)
  const others = await Promise.all(places.slice(1).map(({ shard, schema }) => add(shard, schema, 5)))
  await broker.received(120)

  const accepted = broker.accepted.map(({ id }) => id)
  for (const [index, ids] of added.entries()) {
    const later: readonly string[] = index === 0 ? [] : (others[index - 1] ?? [])
    const wanted = new Set([...ids, ...later])
    expect(accepted.filter((id) => wanted.has(id))).toEqual([...ids, ...later])
  }
  expect(accepted).toHaveLength(120)
  expect(accepted.filter((id) => kept.includes(id))).toEqual([])
  expect(await cutOff(pools[0] as pg.Pool, { schema: 'money', timeoutMs: 0 })).toMatchObject({ isComplete: false })
  expect(await cutOff(pools[0] as pg.Pool, { schema: 'malote' })).toMatchObject({ isComplete: true })
  const counts = await Promise.all(
    places.map(async ({ shard, schema }) => {
      const { ready, relays: known, lanesWithoutRelay } = await outboxStatus(pools[shard] as pg.Pool, { schema })
      return [ready, known.length, lanesWithoutRelay]
    }),
  )
  expect(counts).toEqual([[3, 0, 64], ...places.slice(1).map(() => [0, 1, 0])])
  await Promise.all(relays.slice(1).map((relay) => relay.stop()))
})
