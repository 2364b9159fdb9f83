import { setTimeout as sleep } from 'node:timers/promises'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import type pg from 'pg'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { createOutbox, createRelay, migrate, type RelayEvent } from '../../src/index.ts'
import { migrationScript, readMigrations } from '../../src/postgres/migrate.ts'
import { createMemoryBroker, eventually, type MemoryBroker } from '../../src/testing/index.ts'
import { aMessage } from '../relay-bench.ts'
import * as released from './released-0001.mjs'

const versions = await readMigrations()
let database: TestDatabase
let pool: pg.Pool
/** Ends what a case started, however it ended itself. */
let stop = (): Promise<unknown> => Promise.resolve()

beforeEach(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool({ max: 20 })
})
afterEach(async () => {
  await stop()
  await database.drop()
})

const migrateTo = (count: number): Promise<unknown> =>
  pool.query(migrationScript(versions.slice(0, count), { component: 'outbox' }))

/** From this many migrations on a relay of today works; before it says what is missing. */
const enough = 3

describe('a relay of this version', () => {
  it.each([1, 2, enough, versions.length - 1].map((count) => [versions[count - 1]?.name, count] as const))(
    'on the schema of %s publishes, or says that it must be migrated',
    async (_, count) => {
      await migrateTo(count)
      const broker = createMemoryBroker()
      const relay = createRelay({ pool: database.pool(), publisher: broker, onEvent: () => {} })
      const client = await pool.connect()
      await client.query('begin')
      await createOutbox().addAll(client, [aMessage({ orderingKey: 'a' }), aMessage()])
      await client.query('commit')
      client.release()
      const outcome = await relay.runOnce().then(
        () => broker.accepted.length,
        (error: unknown) => error,
      )

      if (count >= enough) return expect(outcome).toBe(2)
      expect(outcome).toMatchObject({
        code: 'SCHEMA_MISSING',
        message: expect.stringMatching(/of an earlier version \(relation .* does not exist\): run migrate/),
      })
    },
  )
})

it('old and new writers and relays go on while the released schema is migrated under them, in order, with no error and no loss', async () => {
  await migrateTo(1)
  await pool.query(
    'create table keys (key text primary key, place int not null default 0); create table written (id uuid primary key, key text, place int)',
  )
  await pool.query(`insert into keys select 'k' || n from generate_series(0, 7) as n`)
  const world = startWorld()
  const old = world.relay(released.createRelay)
  world.write(released.createOutbox)
  world.write(released.createOutbox)
  await world.published(100)

  const applied = await migrate(pool)
  await world.published(100) // By the old relay, on the new schema.
  world.write(createOutbox)
  const young = world.relay(createRelay)
  await eventually(() => Promise.resolve(expect(young.broker.accepted.length).toBeGreaterThan(50)))
  const shared = old.broker.accepted.length
  await eventually(() => Promise.resolve(expect(old.broker.accepted.length).toBeGreaterThan(shared + 50)))
  await old.relay.stop()
  await world.published(100)
  await world.end()

  expect(applied.map(({ name }) => name)).toEqual(versions.slice(1).map(({ name }) => name))
  expect(world.errors).toEqual([])
  const { rows } = await pool.query<{ id: string; key: string; place: number }>('select * from written')
  const firsts = [...new Set(world.accepted)]
  expect(firsts.toSorted()).toEqual(rows.map(({ id }) => id).sort())
  const placeOf = new Map(rows.map((row) => [row.id, row]))
  const places = [...Map.groupBy(firsts, (id) => placeOf.get(id)?.key)].map(([key, ids]) => [
    key,
    ids.map((id) => placeOf.get(id)?.place),
  ])
  expect(places).toEqual(places.map(([key, found]) => [key, (found as unknown[]).map((_, index) => index + 1)]))
  expect(world.events.filter((type) => /lost|disconnected|dead-lettered|missed/.test(type))).toEqual([])
})

/** Writers that lock their key first, and relays of any version whose broker refuses a message now and then. */
function startWorld() {
  const over = new AbortController()
  const errors: unknown[] = []
  const events: string[] = []
  const accepted: string[] = []
  const relays: { stop(): Promise<unknown> }[] = []
  const writers: Promise<void>[] = []
  async function write(outbox: ReturnType<typeof createOutbox>): Promise<void> {
    const client = await pool.connect()
    for (let n = 0; !over.signal.aborted; n++) {
      try {
        await client.query('begin')
        const key = `k${String(n % 8)}`
        const { rows } = await client.query('update keys set place = place + 1 where key = $1 returning place', [key])
        const id = await outbox.add(client, aMessage({ orderingKey: key }))
        await client.query('insert into written values ($1, $2, $3)', [id, key, rows[0]?.place])
        await client.query('commit')
      } catch (error) {
        errors.push(error)
        await client.query('rollback')
      }
      await sleep(3)
    }
    client.release()
  }
  stop = async () => {
    over.abort()
    await Promise.all(writers.splice(0))
    await Promise.all(relays.splice(0).map((relay) => relay.stop()))
  }
  return {
    errors,
    events,
    accepted,
    write: (create: typeof createOutbox) => void writers.push(write(create())),
    relay: (
      create: typeof createRelay,
    ): { readonly relay: ReturnType<typeof createRelay>; readonly broker: MemoryBroker } => {
      const broker = createMemoryBroker()
      let count = 0
      broker.failWith(({ id }) => {
        if (++count % 40 === 0) return { kind: 'retryable', code: 'BUSY', message: 'later' }
        accepted.push(id)
        return null
      })
      const onEvent = ({ type }: RelayEvent): void => void events.push(type)
      const relay = create({ pool: database.pool(), publisher: broker, onEvent, backoff: () => 20 })
      relay.start()
      relays.push(relay)
      return { relay, broker }
    },
    published: (more: number) => {
      const before = accepted.length
      return eventually(() => Promise.resolve(expect(accepted.length).toBeGreaterThan(before + more)))
    },
    end: async () => {
      over.abort()
      await Promise.all(writers)
      await eventually(async () => {
        const { rows } = await pool.query('select count(*)::int as n from malote.messages')
        expect(rows[0]?.n).toBe(0)
      })
      await stop()
    },
  }
}
