import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createDeadLetters, createHeldKeys, createOutbox, createRelay, grantStatements, migrate } from '../src/index.ts'
import { neededPrivileges, rolePurposes } from '../src/postgres/grants.ts'
import { createMemoryBroker, createRecordingObserver } from '../src/testing/index.ts'
import type { RelayEvent, RolePurpose } from '../src/index.ts'
import { aMessage, createRelayBench, type RelayBench } from './relay-bench.ts'

let bench: RelayBench
const name = (purpose: RolePurpose): string => `${purpose.replace('-', '_')}_${String(process.pid)}_of_grants`
const purposes = rolePurposes.filter((purpose) => purpose !== 'consumer')

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
  for (const purpose of purposes) {
    await bench.pool.query(`create role ${name(purpose)} login password 'p'`)
    await bench.pool.query(grantStatements(name(purpose), purpose).join('\n'))
  }
})
afterEach(() => bench.reset())
afterAll(async () => {
  for (const purpose of purposes) await bench.pool.query(`drop owned by ${name(purpose)}; drop role ${name(purpose)}`)
  await bench.database.drop()
})

const as = (purpose: RolePurpose) =>
  bench.database.pool({ user: name(purpose), password: 'p', connectionString: urlOf(purpose) })
const urlOf = (purpose: RolePurpose): string =>
  Object.assign(new URL(bench.database.url), { username: name(purpose), password: 'p' }).toString()

describe('with the documented grants', () => {
  it('a writer adds and cancels, and starts up with migrate', async () => {
    const pool = as('writer')
    await migrate(pool)
    const client = await pool.connect()
    await client.query('begin')
    const outbox = createOutbox()
    await outbox.add(client, aMessage())
    await outbox.addAll(client, [aMessage(), aMessage({ delayMs: 60_000 })])
    await client.query('commit')
    client.release()

    expect(await bench.count('messages')).toBe(2)
    await expect(pool.query('select * from malote.messages')).rejects.toMatchObject({ code: '42501' })
  })

  it('a relay publishes, retries, buries, schedules, keeps its books and loses no session', async () => {
    const broker = createMemoryBroker()
    const observer = createRecordingObserver<RelayEvent>()
    const relay = createRelay({
      pool: as('relay'),
      publisher: broker,
      onEvent: observer.onEvent,
      maxAttempts: 2,
      backoff: () => 5,
    })
    broker.failWith(({ topic }) => (topic === 'bad' ? { kind: 'retryable', code: 'NO', message: 'no' } : null))
    await bench.add(...Array.from({ length: 20 }, () => aMessage()), aMessage({ topic: 'bad', orderingKey: 'k' }))
    await bench.add(aMessage({ delayMs: 10 }))
    relay.start()
    await Promise.all([broker.received(21), observer.waitFor('message.dead-lettered')])
    await relay.stop()

    expect(observer.events.filter(({ type }) => type === 'lanes.lost' || type === 'database.disconnected')).toEqual([])
    const { rows } = await bench.pool.query(`select published::int from malote.flow where topic = 'orders'`)
    expect(rows).toEqual([{ published: 21 }])
  })

  it('an operator replays, discards and releases', async () => {
    await bench.pool
      .query(`insert into malote.dead_letters (id, seq, lane, topic, type, ordering_key, payload, content_type, created_at, attempts, reason)
      select gen_random_uuid(), 0, 0, 't', 'y', 'k', '{}', 'application/json', now(), 1, 'PERMANENT' from generate_series(1, 2)`)
    await bench.pool.query(`insert into malote.held_keys (topic, ordering_key) values ('t', 'k')`)
    const db = as('operator')
    const letters = createDeadLetters({ db })
    const [first, second] = await letters.list()

    expect(await letters.replay([first?.deadLetterId ?? ''])).toBe(1)
    expect(await letters.discard([second?.deadLetterId ?? ''])).toBe(1)
    expect(await createHeldKeys({ db }).release('t', 'k')).toBe(true)
  })
})

it('knows every table of the outbox', async () => {
  const { rows } = await bench.pool.query(`select relname as tablename from pg_class
     where relnamespace = 'malote'::regnamespace and relkind in ('r', 'p') and not relispartition order by 1`)

  const known = new Set(neededPrivileges('reader').map((needed) => needed.name))
  expect(rows.map((row) => String(row.tablename)).filter((table) => !known.has(table))).toEqual([])
})
