import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createOutbox, migrate } from '../src/index.ts'
import { eventually } from '../src/testing/index.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  await migrate(pool, { schema: 'Odd "schema"' })
})
beforeEach(() => pool.query('truncate "Odd ""schema""".messages; delete from "Odd ""schema""".relays'))
afterAll(() => database.drop())

const stored = async () =>
  (await pool.query('select topic, payload, headers from "Odd ""schema""".messages order by seq')).rows

describe('the functions that add', () => {
  it("are not misled by a caller's temporary table or search_path", async () => {
    const client = await database.client()
    // A table makes a type of its name, and temporary ones are found before all others.
    for (const name of ['messages', 'doorbell', 'relays', 'uuid', 'json', 'text', 'smallint'])
      await client.query(`create temporary table "${name}" (id int)`)
    await client.query('set search_path = public')
    await client.query('begin')

    const outbox = createOutbox({ schema: 'Odd "schema"' })
    await outbox.add(client, { topic: 'one', type: 't', payload: 1 })
    await outbox.addAll(
      client,
      ['two', 'three'].map((topic) => ({ topic, type: 't', payload: 1 })),
    )
    await client.query('commit')

    expect((await stored()).map((row) => row.topic)).toEqual(['one', 'two', 'three'])
  })

  it('serve plain SQL, which rings a sleeping relay too', async () => {
    await pool.query(`insert into "Odd ""schema""".relays (id, name, lease_until)
      values ('00000000-0000-7000-8000-000000000001', 'r', now() + interval '1 minute')`)
    await pool.query(`insert into "Odd ""schema""".doorbell values ('00000000-0000-7000-8000-000000000001', true)`)
    const listener = await database.client()
    await listener.query('listen "Odd ""schema"""')
    const rung = new Promise((resolve) => listener.once('notification', (message) => resolve(message.channel)))

    const { rows } = await pool.query(`select "Odd ""schema""".add_message(
      gen_random_uuid()::text, 'orders', 'order.accepted', null, '{"a":1}', 'application/json', '{"h":"v"}') as rung`)

    expect(rows).toEqual([{ rung: true }])
    expect(await rung).toBe('Odd "schema"')
    expect(await stored()).toEqual([{ topic: 'orders', payload: '{"a":1}', headers: { h: 'v' } }])
  })

  it('keep the order of the array, and need no numbering by the caller', async () => {
    const topics = Array.from({ length: 1_000 }, (_, n) => `topic-${String((n * 7) % 1_000)}`)
    const messages = topics.map((topic) => ({
      id: crypto.randomUUID(),
      topic,
      type: 't',
      payload: '1',
      content_type: 'application/json',
    }))

    await pool.query(`select "Odd ""schema""".add_messages($1)`, [JSON.stringify(messages)])

    expect((await stored()).map((row) => row.topic)).toEqual(topics)
  })

  it('leave a relay alone that is awake or whose lease has ended', async () => {
    await pool.query(`insert into "Odd ""schema""".relays (id, name, lease_until) values
      ('00000000-0000-7000-8000-000000000001', 'awake', now() + interval '1 minute'),
      ('00000000-0000-7000-8000-000000000002', 'dead', now() - interval '1 second')`)
    await pool.query(`insert into "Odd ""schema""".doorbell values
      ('00000000-0000-7000-8000-000000000001', false), ('00000000-0000-7000-8000-000000000002', true)`)

    const { rows } = await pool.query(`select "Odd ""schema""".add_messages('[]') as rung`)

    expect(rows).toEqual([{ rung: false }])
  })
})

it('all messages of one key share a lane, whoever inserts or changes them', async () => {
  const client = await database.client()
  const outbox = createOutbox({ schema: 'Odd "schema"' })
  const keyless = { topic: 't', type: 'x', payload: 1 }
  const ofKey = { ...keyless, orderingKey: 'conta-1' }
  await client.query('begin')
  await outbox.add(client, ofKey)
  await outbox.addAll(client, [ofKey, ofKey, keyless])
  await outbox.add(client, keyless)
  await client.query('commit')
  const insert = `insert into "Odd ""schema""".messages (topic, type, ordering_key, payload) values ('t', 'x', $1, '{}')`
  for (const key of ['conta-1', 'of another', null]) await pool.query(insert, [key])
  await pool.query(`update "Odd ""schema""".messages set ordering_key = 'conta-1' where ordering_key = 'of another'`)
  await client.query('set session_replication_role = replica') // As replication and bulk loads, which pass by triggers.
  await client.query(insert, ['conta-1'])

  const { rows } = await pool.query(`
    select ordering_key, lane, (hashtextextended(coalesce(ordering_key, id::text) collate "C", 0) & 63)::integer as expected
    from "Odd ""schema""".messages`)
  expect(rows.map(({ lane }) => lane)).toEqual(rows.map(({ expected }) => expected))
  expect(rows.filter((row) => row.ordering_key === 'conta-1')).toHaveLength(6)
  expect(rows).toHaveLength(9)
})

it('a prepared message is one insert, with no select that is run apart', async () => {
  const { text, values } = await createOutbox({ schema: 'Odd "schema"' }).statement(
    { topic: 't', type: 'x', payload: 1 },
    { prepared: true },
  )

  const plan = (await pool.query(`explain (costs off) ${text}`, [...values])).rows.map((row) =>
    String(row['QUERY PLAN']),
  )

  const steps = plan.filter((line) => line.includes('->')).map((line) => line.trim())
  expect(steps).toEqual(['->  Seq Scan on doorbell', '->  Result'])
})

it.each([false, true])(
  'a relay that lay down while the statement waited for its lock is rung for (prepared: %j)',
  async (prepared) => {
    await pool.query(`insert into "Odd ""schema""".relays (id, name, lease_until)
      values ('00000000-0000-7000-8000-000000000001', 'r', now() + interval '1 minute')`)
    await pool.query(`insert into "Odd ""schema""".doorbell values ('00000000-0000-7000-8000-000000000001', false)`)
    const [listener, blocker, writer] = [await database.client(), await database.client(), await database.client()]
    await listener.query('listen "Odd ""schema"""')
    const rung = new Promise((resolve) => listener.once('notification', resolve))
    const outbox = createOutbox({ schema: 'Odd "schema"' })
    const write = async (): Promise<unknown> => {
      const { text, values } = await outbox.statement(
        { topic: 't', type: 'x', payload: 1, orderingKey: 'conta-1' },
        { prepared },
      )
      return writer.query({ name: 'write', text, values: [...values] })
    }
    for (let n = 0; n < 7; n++) await write() // From the sixth on PostgreSQL keeps the plan. Nobody sleeps.
    await blocker.query('begin; lock table "Odd ""schema""".messages')
    const writing = write()
    await eventually(async () => {
      const waiting = `select from pg_locks where relation = '"Odd ""schema""".messages'::regclass and not granted`
      expect((await pool.query(waiting)).rowCount).toBe(1)
    })

    await pool.query('update "Odd ""schema""".doorbell set asleep = true')
    await blocker.query('commit')

    await Promise.all([writing, rung])
    const lanes = await pool.query('select distinct lane from "Odd ""schema""".messages')
    expect(lanes.rows).toEqual(
      (await pool.query(`select (hashtextextended('conta-1' collate "C", 0) & 63)::smallint as lane`)).rows,
    )
  },
)

it.each([false, true])(
  'a message takes its place after the row is locked that it is selected from (prepared: %j)',
  async (prepared) => {
    await pool.query('create table if not exists accounts (id int primary key, amount int); truncate accounts')
    await pool.query('insert into accounts values (1, 0)')
    const [first, second] = [await database.client(), await database.client()]
    const outbox = createOutbox({ schema: 'Odd "schema"' })
    const update = 'update accounts set amount = amount + 1 where id = 1 returning id'
    const { text, values } = await outbox.statement({ topic: 'second', type: 'x', payload: 1 }, { prepared })
    await first.query('begin')
    await first.query(update)
    const writing = second.query(`with moved as (${update}) ${text} from moved`, [...values])
    await eventually(async () => {
      const waiting = `select from pg_stat_activity where datname = current_database() and wait_event = 'transactionid'`
      expect((await pool.query(waiting)).rowCount).toBe(1)
    })

    await outbox.add(first, { topic: 'first', type: 'x', payload: 1 })
    await first.query('commit')
    await writing

    expect((await stored()).map(({ topic }) => topic)).toEqual(['first', 'second'])
  },
)
