import { Kysely, PostgresDialect, sql } from 'kysely'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createIdempotency } from '../src/index.ts'
import { batchOn, brief, createNotes, type Deed, keyOf, noteAll, notesIn, type Order } from './batch-callers.ts'
import { alice, type Caller, idempotencyOn, send } from './callers.ts'
import { gate } from './gates.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createNotes)
})
beforeEach(() => database.truncate('notes, malote.idempotency_keys'))
afterAll(() => database.drop())

const keys = async () => (await pool.query('select * from malote.idempotency_keys')).rowCount

/** A pool that notes the first word of each statement, one list for each round trip. */
function noting() {
  const noted = database.pool({ max: 1 })
  const trips: string[][] = []
  noted.on('connect', (client) => {
    const query = client.query.bind(client) as (text: string, values?: unknown[]) => Promise<pg.QueryResult>
    Object.assign(client, {
      query: (text: string, values?: unknown[]) => {
        trips.push(
          text
            .replaceAll(/'[^']*'/g, "''")
            .split('; ')
            .map((statement) => statement.trim().split(/[ (]/)[0] as string),
        )
        return query(text, values)
      },
    })
  })
  return { pool: noted, trips }
}

describe('requests that come together', () => {
  it('share a transaction of two round trips around the handler, and each gets its own answer and key', async () => {
    const noted = noting()
    const { calls, post } = batchOn(noted.pool)
    const names = Array.from({ length: 32 }, (_, at) => `order ${String(at)}`)

    const answers = await Promise.all(names.map((name) => post(name)))

    expect(answers.map(brief)).toEqual(names.map((name) => `201 ${name}`))
    expect([calls, await notesIn(pool), await keys()]).toEqual([[names], names, 32])
    expect(noted.trips).toEqual([['begin', 'select', 'savepoint'], ['insert'], ['select', 'commit']])
    const retries = await Promise.all(names.map((name) => post(name)))
    expect(retries.map(brief)).toEqual(names.map((name) => `201 ${name} again`))
    expect(calls).toHaveLength(1)
  })

  it('are cut at maxSize, and what comes while a batch runs is in the next, in the order it came', async () => {
    const [entered, opened] = [gate(), gate()]
    const { calls, post } = batchOn(
      pool,
      async (call) => {
        entered.open()
        await opened.passed
        return noteAll(call)
      },
      { maxSize: 3 },
    )

    const first = post('0')
    await entered.passed
    const others = ['1', '2', '3', '4'].map((name) => post(name))
    await Promise.resolve()
    opened.open()

    await Promise.all([first, ...others])
    expect(calls).toEqual([['0'], ['1', '2', '3'], ['4']])
  })

  it('wait for company up to maxWaitMs, and no longer once a batch is full', async () => {
    const { calls, post } = batchOn(pool, noteAll, { maxSize: 2, maxWaitMs: 60_000 })

    const first = post('a')
    await new Promise((resolve) => setImmediate(resolve))
    await Promise.all([first, post('b')])

    expect(calls).toEqual([['a', 'b']])
  })

  it('without a key run in it unprotected; refused ones never reach it', async () => {
    const { calls, post } = batchOn(pool, noteAll, { required: false })

    const answers = await Promise.all([
      post('bare', 'order', { key: null }),
      post('a'),
      post('bad', 'order', { key: 'short' }),
    ])

    expect(answers.map(({ status }) => status)).toEqual([201, 201, 400])
    expect([calls, await keys()]).toEqual([[['bare', 'a']], 1])
  })

  it('run on Kysely, one statement at a time', async () => {
    const db = new Kysely<object>({ dialect: new PostgresDialect({ pool: database.pool({ max: 1 }) }) })
    const batch = createIdempotency({
      db,
      tenant: (caller: Caller) => caller.tenant,
      subject: (caller) => caller.subject,
      pepper: 'a pepper of at least 16 bytes',
    }).batch({ operation: 'note' }, async ({ tx, requests }) => {
      const orders = requests as readonly Order[]
      for (const { name } of orders) await sql`insert into notes (name, note) values (${name}, 'order')`.execute(tx)
      return orders.map(({ does }) => ({ status: does === 'refuse' ? 422 : 201 }))
    })
    const post = (name: string, does: Deed) =>
      send(batch, { key: keyOf(name), caller: { ...alice, name, does } as Order })

    const answers = await Promise.all([post('a', 'order'), post('b', 'refuse'), post('c', 'order')])

    expect(answers.map(({ status }) => status)).toEqual([201, 422, 201])
    expect([await notesIn(pool), await keys()]).toEqual([['a', 'c'], 3])
    await db.destroy()
  })
})

describe('a key that comes twice', () => {
  it('in one batch waits for the first, and gets its answer', async () => {
    const { calls, post } = batchOn(pool)

    const answers = await Promise.all([post('a'), post('b'), post('a'), post('a')])

    expect(answers.map(brief)).toEqual(['201 a', '201 b', '201 a again', '201 a again'])
    expect([calls, await notesIn(pool)]).toEqual([[['a', 'b']], ['a', 'b']])
  })

  it('runs again when the first was not stored, one after the other', async () => {
    let failures = 2
    const { calls, post } = batchOn(pool, (call) =>
      failures-- > 0 ? Promise.resolve(call.requests.map(() => ({ status: 503 }))) : noteAll(call),
    )

    const answers = await Promise.all([post('a'), post('a'), post('a'), post('a')])

    expect(answers.map(({ status }) => status)).toEqual([503, 503, 201, 201])
    expect([calls.flat(), await notesIn(pool)]).toEqual([['a', 'a', 'a'], ['a']])
  })

  it('with another body is refused, whichever of them was first', async () => {
    const { post } = batchOn(pool)

    const answers = await Promise.all([post('a'), post('a', 'order', { body: { amount: 2 } })])

    expect(answers.map(({ status }) => status)).toEqual([201, 422])
  })

  it('of two tenants, or two users, is two keys', async () => {
    const { calls, post } = batchOn(pool)

    const answers = await Promise.all([post('a'), post('a', 'order', { tenant: 'another' })])

    expect(answers.map(brief)).toEqual(['201 a', '201 a'])
    expect(calls).toEqual([['a', 'a']])
  })

  it.each([
    [0, '409'],
    [60_000, '201 held again'],
  ])('in two processes: the one that does not hold it is told or waits (waitMs %i)', async (waitMs, expected) => {
    const [entered, opened] = [gate(), gate()]
    const holder = batchOn(pool, async (call) => {
      entered.open()
      await opened.passed
      return noteAll(call)
    })
    const { calls, post } = batchOn(pool, noteAll, { waitMs })

    const held = holder.post('held')
    await entered.passed
    const waiting = post('held')
    const free = await post('free')
    if (waitMs === 0) await waiting
    opened.open()

    expect(brief(await held)).toBe('201 held')
    expect([brief(free), calls]).toEqual(['201 free', [['free']]])
    expect(brief(await waiting)).toContain(expected)
    expect(await notesIn(pool)).toEqual(['free', 'held'])
  })

  it('in atomic mode is the same key', async () => {
    const { post } = batchOn(pool)
    await post('a')
    const atomic = idempotencyOn(pool).atomic({ operation: 'note' }, () => Promise.reject(new Error('it ran')))

    expect(brief(await send(atomic, { key: keyOf('a'), body: { name: 'a' }, caller: alice }))).toBe('201 a again')
  })

  it('that has expired, or was given up, runs again in the batch; its removal is not undone with the handler', async () => {
    const { post } = batchOn(pool)
    await Promise.all([post('a'), post('b')])
    await pool.query(`update malote.idempotency_keys set expires_at = now() - interval '1 second'`)
    await database.owner.query('truncate notes')

    const answers = await Promise.all([post('a', 'refuse'), post('b'), post('c')])

    expect(answers.map(brief)).toEqual(['422 a', '201 b', '201 c'])
    expect([await notesIn(pool), await keys()]).toEqual([['b', 'c'], 3])
  })
})
