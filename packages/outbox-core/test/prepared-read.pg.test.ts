import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createOutbox, createRelay, grantStatements, migrate, type RelayOptions } from '../src/index.ts'
import { prepareReads } from '../src/postgres/kept-plan.ts'
import { messageReadTexts } from '../src/postgres/message-reads.ts'
import { createMemoryBroker } from '../src/testing/index.ts'

let database: TestDatabase
let pool: pg.Pool
let relayUrl: string

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  await migrate(pool)
  relayUrl = await database.urlAs((role) => grantStatements(role, 'relay'))
})
beforeEach(() => database.truncate('malote.messages'))
afterAll(() => database.drop())

/** The names of the prepared statements that a relay sends while it publishes a few messages. */
async function namesSent(options: Partial<RelayOptions>): Promise<Set<string>> {
  const names = new Set<string>()
  const recording = database.pool({ connectionString: relayUrl })
  recording.on('connect', (client) => {
    const query = client.query.bind(client) as (...values: unknown[]) => unknown
    client.query = ((...values: unknown[]) => {
      const { name } = values[0] as { name?: string }
      if (name !== undefined) names.add(name)
      return query(...values)
    }) as never
  })
  const broker = createMemoryBroker()
  const relay = createRelay({ pool: recording, publisher: broker, pollIntervalMs: 20, ...options })
  relay.start()
  // The first may come before the doorbell was heard; by the last one reads have gone on for a while.
  for (let received = 1; received <= 20; received++) {
    await add()
    await broker.received(received)
    if (names.size === 2) break
  }
  await relay.stop()
  return names
}

async function add(): Promise<void> {
  const client = await pool.connect()
  await client.query('begin')
  await createOutbox().add(client, { topic: 'orders', type: 't', payload: 1 })
  await client.query('commit')
  client.release()
}

describe('the read that is planned once', () => {
  it('uses the primary key although it was planned while the table was empty', async () => {
    await pool.query('vacuum analyze malote.messages')
    const client = await database.client()
    await prepareReads({ query: (text: string) => client.query(text) } as never)
    await client.query('set plan_cache_mode = force_generic_plan')
    await client.query(`prepare read as ${messageReadTexts('malote').ready}`)

    const { rows } = await client.query<{ 'QUERY PLAN': string }>(
      `explain (costs off) execute read ('{0,1}', '{0,0}', '{16,16}', '{1000,1000}', '{}', '{}', 1000, '{}', 10)`,
    )

    const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
    expect(plan).toContain('Index Scan using messages_pkey')
    expect(plan).not.toContain('Seq Scan')
  })

  it('is prepared on a session connection', async () => {
    expect([...(await namesSent({}))].sort()).toEqual(['malote barrier', 'malote read'])
  })

  it('is not prepared through a transaction-mode pooler', async () => {
    expect(await namesSent({ doorbell: false, presence: false })).toEqual(new Set())
  })
})
