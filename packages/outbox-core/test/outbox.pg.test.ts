import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { Kysely, PostgresDialect } from 'kysely'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { z } from 'zod'
import { createOutbox, defineCatalog, grantStatements, migrate, type NewMessage } from '../src/index.ts'
import { eventually } from '../src/testing/index.ts'

let database: TestDatabase
let pool: pg.Pool
let writers: pg.Pool

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  await migrate(pool)
  writers = database.pool({ connectionString: await database.urlAs((role) => grantStatements(role, 'writer')) })
})
beforeEach(() => database.truncate('malote.messages, malote.scheduled_messages'))
afterAll(() => database.drop())

const aMessage = (change: Partial<NewMessage> = {}): NewMessage => ({
  topic: 'orders',
  type: 'order.accepted',
  payload: { amount: 1000 },
  ...change,
})
const waiting = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
const stored = async () => (await pool.query('select * from malote.messages order by seq')).rows

async function inTransaction<Result>(
  work: (client: pg.PoolClient) => Promise<Result>,
  end: 'commit' | 'rollback' = 'commit',
): Promise<Result> {
  const client = await writers.connect()
  try {
    await client.query('begin')
    const result = await work(client)
    await client.query(end)
    return result
  } finally {
    client.release(true)
  }
}

describe('adding', () => {
  it('a committed transaction leaves its messages in the order they were added', async () => {
    const outbox = createOutbox()

    const ids = await inTransaction((tx) =>
      outbox.addAll(tx, [aMessage({ orderingKey: 'a' }), aMessage({ orderingKey: 'b' }), aMessage()]),
    )

    expect((await stored()).map((row) => row.id)).toEqual(ids)
  })

  it('a rolled-back transaction leaves nothing', async () => {
    await inTransaction((tx) => createOutbox().add(tx, aMessage()), 'rollback')

    expect(await stored()).toEqual([])
  })

  it('text, bytes and awkward characters come back exactly', async () => {
    const payload = { text: 'ação "\\u0000" \u0000 \ud83d\ude00' }
    const bytes = new Uint8Array([0, 255, 1])

    await inTransaction((tx) =>
      createOutbox().addAll(tx, [
        aMessage({ payload }),
        aMessage({ payload: bytes }),
        aMessage({ payload: 'linha', contentType: 'text/plain' }),
      ]),
    )

    const rows = await stored()
    expect(rows[0].payload).toBe(JSON.stringify(payload))
    expect(new Uint8Array(rows[1].payload_binary)).toEqual(bytes)
    expect(rows[2]).toMatchObject({ payload: 'linha', content_type: 'text/plain' })
  })

  it('a Kysely transaction with renaming plugins works', async () => {
    const { CamelCasePlugin } = await import('kysely')
    const db = new Kysely({ dialect: new PostgresDialect({ pool: database.pool() }), plugins: [new CamelCasePlugin()] })

    await db.transaction().execute((trx) => createOutbox().add(trx, aMessage()))

    expect(await stored()).toHaveLength(1)
    await db.destroy()
  })

  it('a scheduled message waits in its own table and can be cancelled', async () => {
    const outbox = createOutbox()

    const id = await inTransaction((tx) => outbox.add(tx, aMessage({ delayMs: 60_000 })))

    expect(await stored()).toEqual([])
    expect(await inTransaction((tx) => outbox.cancelScheduled(tx, id))).toBe(true)
    expect(await inTransaction((tx) => outbox.cancelScheduled(tx, id))).toBe(false)
  })

  it('many scheduled messages are cancelled in one statement, and others stay', async () => {
    const outbox = createOutbox()
    const ids = await inTransaction((tx) =>
      outbox.addAll(
        tx,
        Array.from({ length: 5 }, () => aMessage({ delayMs: 60_000 })),
      ),
    )
    const unknown = '00000000-0000-7000-8000-000000000009'

    const cancelled = await inTransaction((tx) => outbox.cancelAllScheduled(tx, [unknown, ...ids.slice(1)]))
    const none = await inTransaction((tx) => outbox.cancelAllScheduled(tx, []))

    expect(cancelled.toSorted()).toEqual(ids.slice(1).toSorted())
    expect(none).toEqual([])
    expect(await inTransaction((tx) => outbox.cancelScheduled(tx, ids[0] as string))).toBe(true)
  })

  it('writers of one key wait for each other with ordering "commit"', async () => {
    const outbox = createOutbox({ ordering: 'commit' })
    const [first, second] = [await database.client(), await database.client()]
    await first.query('begin')
    await second.query('begin')
    await outbox.add(first, aMessage({ orderingKey: 'k', id: '00000000-0000-7000-8000-000000000001' }))

    const adding = outbox.add(second, aMessage({ orderingKey: 'k', id: '00000000-0000-7000-8000-000000000002' }))
    await eventually(async () => {
      const { rows } = await pool.query(waiting)
      expect(rows).toHaveLength(1)
    })
    await first.query('commit')
    await adding
    await second.query('commit')

    expect((await stored()).map((row) => row.id.slice(-1))).toEqual(['1', '2'])
  })
})

describe('refusals', () => {
  const outbox = createOutbox()

  it('a pool, an idle client and a plain Kysely are no transactions', async () => {
    const db = new Kysely({ dialect: new PostgresDialect({ pool: database.pool() }) })
    const client = await database.client()

    for (const notATransaction of [pool, client, db, undefined, null]) {
      await expect(outbox.add(notATransaction as never, aMessage())).rejects.toMatchObject({
        code: 'NOT_A_TRANSACTION',
      })
    }
    await db.destroy()
  })

  it('a Queryable outside a transaction is found out, one inside passes', async () => {
    const client = await database.client()
    const queryable = { query: (text: string, values: unknown[]) => client.query(text, values) }

    await expect(outbox.add(queryable, aMessage())).rejects.toMatchObject({ code: 'NOT_A_TRANSACTION' })
    await client.query('begin')
    await outbox.add(queryable, aMessage())
    await client.query('commit')

    expect(await stored()).toHaveLength(1)
  })

  it.each([
    [{ topic: '' }, 'INVALID_MESSAGE'],
    [{ type: 'x'.repeat(256) }, 'INVALID_MESSAGE'],
    [{ orderingKey: '' }, 'INVALID_MESSAGE'],
    [{ id: 'not-a-uuid' }, 'INVALID_MESSAGE'],
    [{ headers: { a: 1 as never } }, 'INVALID_MESSAGE'],
    [{ delayMs: -1 }, 'INVALID_MESSAGE'],
    [{ availableAt: new Date(Number.NaN) }, 'INVALID_MESSAGE'],
    [{ payload: undefined }, 'UNSERIALIZABLE_PAYLOAD'],
    [{ payload: 1n }, 'UNSERIALIZABLE_PAYLOAD'],
    [{ payload: 'a\0b', contentType: 'text/plain' }, 'UNSERIALIZABLE_PAYLOAD'],
  ] as const)('a message with %o is refused as %s', async (change, code) => {
    await expect(inTransaction((tx) => outbox.add(tx, aMessage(change as never)))).rejects.toMatchObject({ code })
  })

  it('two messages of one id in one call are refused', async () => {
    const id = '00000000-0000-7000-8000-000000000001'

    await expect(inTransaction((tx) => outbox.addAll(tx, [aMessage({ id }), aMessage({ id })]))).rejects.toMatchObject({
      code: 'DUPLICATE_MESSAGE_ID',
    })
  })

  it('a missing schema says to migrate', async () => {
    await expect(inTransaction((tx) => createOutbox({ schema: 'nowhere' }).add(tx, aMessage()))).rejects.toMatchObject({
      code: 'SCHEMA_MISSING',
    })
  })

  it('a catalog refuses unknown types and wrong payloads, and stores what its schema made', async () => {
    const typed = createOutbox({
      catalog: { 'order.accepted': z.object({ amount: z.number(), currency: z.string().default('BRL') }) },
    })

    await inTransaction((tx) => typed.add(tx, { topic: 't', type: 'order.accepted', payload: { amount: 1 } }))

    expect(JSON.parse((await stored())[0].payload)).toEqual({ amount: 1, currency: 'BRL' })
    await expect(
      inTransaction((tx) => typed.add(tx, { topic: 't', type: 'other' as never, payload: {} as never })),
    ).rejects.toMatchObject({ code: 'UNKNOWN_MESSAGE_TYPE' })
    await expect(
      inTransaction((tx) => typed.add(tx, { topic: 't', type: 'order.accepted', payload: { amount: 'x' as never } })),
    ).rejects.toMatchObject({ code: 'PAYLOAD_INVALID' })
  })
})

describe('the statement', () => {
  const accepted = 'with accepted as (insert into orders values ($1) on conflict do nothing returning id)'
  beforeAll(() => pool.query('create table orders (id text primary key)'))

  it('adds what `add` adds, one message or several, text or bytes, after the parameters of the statement it is in', async () => {
    const outbox = createOutbox()
    const messages = [
      aMessage({ orderingKey: 'k', headers: { a: '1' } }),
      aMessage({ payload: new Uint8Array([0, 255]) }),
    ]
    const one = await outbox.statement(messages[0] as NewMessage, { firstParameter: 2 })
    const many = await outbox.statement(messages)
    const prepared = await outbox.statement(messages[0] as NewMessage, { firstParameter: 2, prepared: true })

    await pool.query(`${accepted} ${one.text} from accepted`, ['o-1', ...one.values])
    await pool.query(many.text, [...many.values])
    const text = `${accepted} ${prepared.text} from accepted`
    await pool.query({ name: 'prepared', text, values: ['o-2', ...prepared.values] })
    await inTransaction((tx) => outbox.addAll(tx, messages))

    // Without what differs each time; a message without a key has any lane.
    const rows = (await stored()).map((row) => ({ ...row, id: 0, seq: 0, lane: 0, created_at: 0 }))
    expect((await stored()).map((row) => row.id).slice(0, 4)).toEqual([...one.ids, ...many.ids, ...prepared.ids])
    expect(rows.slice(1, 3)).toEqual(rows.slice(4))
    expect([rows[0], rows[3]]).toEqual([rows[1], rows[1]])
  })

  it.each([false, true])(
    'adds nothing when it selects from an insert that found its row there (prepared: %j)',
    async (prepared) => {
      const { text, values } = await createOutbox().statement(aMessage(), { firstParameter: 2, prepared })

      await pool.query(`${accepted} ${text} from accepted`, ['o-1', ...values])
      expect(await stored()).toEqual([])
    },
  )

  it.each([
    [{}, aMessage({ delayMs: 1 }), 'INVALID_MESSAGE'],
    [{ ordering: 'commit' }, aMessage(), 'INVALID_OPTION'],
    [{}, aMessage({ topic: '' }), 'INVALID_MESSAGE'],
  ] as const)('refuses what one statement cannot do: %j %j', async (options, message, code) => {
    await expect(createOutbox(options).statement(message)).rejects.toMatchObject({ code })
  })
})

describe('a catalog with topics', () => {
  const catalog = defineCatalog({ 'order.accepted': { topic: 'orders', schema: z.object({ amount: z.number() }) } })
  const typed = createOutbox({ catalog })

  it('fills the topic in, and refuses another one, in the compiler too', async () => {
    await inTransaction((tx) => typed.add(tx, { type: 'order.accepted', payload: { amount: 1 } }))
    const wrong = inTransaction((tx) =>
      // @ts-expect-error the catalog says orders
      typed.add(tx, { type: 'order.accepted', topic: 'elsewhere', payload: { amount: 1 } }),
    )

    await expect(wrong).rejects.toMatchObject({ code: 'INVALID_MESSAGE', message: expect.stringContaining('"orders"') })
    expect((await stored()).map((row) => row.topic)).toEqual(['orders'])
  })

  it('without a topic anywhere the message is refused', async () => {
    const untyped = createOutbox({ catalog: { 'order.accepted': z.object({ amount: z.number() }) } })

    await expect(
      // @ts-expect-error the topic is missing
      inTransaction((tx) => untyped.add(tx, { type: 'order.accepted', payload: { amount: 1 } })),
    ).rejects.toMatchObject({ code: 'INVALID_MESSAGE' })
  })
})

describe('migrations', () => {
  it('run once however many start together, in a schema of any name', async () => {
    const runs = await Promise.all(Array.from({ length: 4 }, () => migrate(pool, { schema: 'odd "name"; --' })))

    expect(runs.flat()).toHaveLength(new Set(runs.flat().map((migration) => migration.name)).size)
    expect(await migrate(pool, { schema: 'odd "name"; --', dryRun: true })).toEqual([])
  })
})
