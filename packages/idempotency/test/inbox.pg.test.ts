import { randomUUID } from 'node:crypto'
import { Kysely, PostgresDialect } from 'kysely'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createInbox } from '../src/index.ts'
import { gate, isWaiting } from './gates.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query('create table effects (name text not null)')
})
beforeEach(() => database.truncate('effects, malote.processed_messages'))
afterAll(() => database.drop())

const message = (change = {}) => ({ consumer: 'balance', messageId: '0198b1a0-0000-7000-8000-000000000001', ...change })
const effects = async () => (await pool.query('select name from effects order by name')).rows.map((row) => row.name)
const effect = (tx: pg.ClientBase, name = 'effect') =>
  tx.query('insert into effects values ($1)', [name]).then(() => {})
const inbox = createInbox()

describe('an inbox', () => {
  it('applies a message once, however often it is delivered', async () => {
    const results = []
    for (let delivery = 0; delivery < 3; delivery++)
      results.push(await inbox.transact(pool, message(), (tx) => effect(tx)))

    expect(results).toEqual(['processed', 'duplicate', 'duplicate'])
    expect(await effects()).toEqual(['effect'])
  })

  it("37. a re-publish under a new delivery id is a duplicate, for the producer's id counts", async () => {
    const deliver = (deliveryId: string, eventId: string) =>
      inbox.transact(pool, message({ messageId: eventId }), (tx) => effect(tx, deliveryId))

    expect([await deliver('delivery-1', 'event-1'), await deliver('delivery-2', 'event-1')]).toEqual([
      'processed',
      'duplicate',
    ])
    expect(await effects()).toEqual(['delivery-1'])
  })

  it("29. two consumers each apply the same message once, in the caller's own transactions", async () => {
    const client = await database.client()
    const results = []
    for (const consumer of ['balance', 'audit', 'balance', 'audit']) {
      await client.query('begin')
      results.push(await inbox.once(client, message({ consumer }), () => effect(client, consumer)))
      await client.query('commit')
    }

    expect(results).toEqual(['processed', 'processed', 'duplicate', 'duplicate'])
    expect(await effects()).toEqual(['audit', 'balance'])
  })

  it('works in a Kysely transaction, with effects through it', async () => {
    const db = new Kysely<{ effects: { name: string } }>({ dialect: new PostgresDialect({ pool: database.pool() }) })
    const apply = () =>
      inbox.transact(db, message(), async (trx) => {
        await trx.insertInto('effects').values({ name: 'kysely' }).execute()
      })

    expect([await apply(), await apply()]).toEqual(['processed', 'duplicate'])
    expect(await effects()).toEqual(['kysely'])
    await db.destroy()
  })

  it('30. a duplicate in flight is not reported as one; after the rollback of the first it is processed', async () => {
    const [first, second] = [await database.client(), await database.client()]
    await first.query('begin')
    await inbox.once(first, message(), () => effect(first))
    await second.query('begin')

    const deferring = createInbox({ waitMs: 50 })
    await expect(deferring.once(second, message(), () => effect(second))).rejects.toMatchObject({ code: 'IN_FLIGHT' })
    await expect(deferring.transact(pool, message(), (tx) => effect(tx))).rejects.toMatchObject({ code: 'IN_FLIGHT' })
    await second.query('rollback')
    await first.query('rollback')

    expect(await inbox.transact(pool, message(), (tx) => effect(tx))).toBe('processed')
    expect(await effects()).toEqual(['effect'])
  })

  it('30. with "defer" a duplicate in flight fails at once and leaves its transaction usable', async () => {
    const deferring = createInbox({ inFlight: 'defer' })
    const [first, second] = [await database.client(), await database.client()]
    await first.query('begin')
    await deferring.once(first, message(), () => effect(first))
    await second.query('begin')

    await expect(deferring.once(second, message(), () => effect(second))).rejects.toMatchObject({ code: 'IN_FLIGHT' })

    expect((await second.query('select 1 as one')).rows).toEqual([{ one: 1 }])
    await second.query('rollback')
    await first.query('commit')
    expect(await deferring.transact(pool, message(), (tx) => effect(tx))).toBe('duplicate')
  })

  it('6. a duplicate that waits takes over when the first rolls back', async () => {
    const first = await database.client()
    await first.query('begin')
    await inbox.once(first, message(), () => effect(first, 'first'))

    const waiting = inbox.transact(pool, message(), (tx) => effect(tx, 'second'))
    await isWaiting(pool)
    await first.query('rollback')

    expect(await waiting).toBe('processed')
    expect(await effects()).toEqual(['second'])
  })

  it('a duplicate that waits is one when the first commits', async () => {
    const [entered, opened] = [gate(), gate()]
    const first = inbox.transact(pool, message(), async (tx) => {
      await effect(tx, 'first')
      entered.open()
      await opened.passed
    })
    await entered.passed
    const waiting = inbox.transact(pool, message(), (tx) => effect(tx, 'second'))
    await isWaiting(pool)
    opened.open()

    expect([await first, await waiting]).toEqual(['processed', 'duplicate'])
    expect(await effects()).toEqual(['first'])
  })

  it('costs one round trip before the handler and one after it, and one more the first time of a consumer', async () => {
    const noted = database.pool({ max: 1 })
    const trips: string[] = []
    noted.on('connect', (client) => {
      const query = client.query.bind(client) as (text: string, values?: unknown[]) => Promise<pg.QueryResult>
      Object.assign(client, {
        query: (text: string, values?: unknown[]) => {
          trips.push((/claim_messages?|insert into \S+|commit$|effect/.exec(text) ?? [text])[0])
          return query(text, values)
        },
      })
    })
    const tripsOf = async (messageId: string) => {
      trips.length = 0
      await inbox.transact(
        noted,
        { consumer: 'noted', messageId },
        async (tx) => void (await tx.query('select 1 as effect')),
      )
      return [...trips]
    }

    expect(await tripsOf(randomUUID())).toEqual([
      'claim_message',
      'insert into "malote".inbox_consumers',
      'claim_messages',
      'effect',
      'commit',
    ])
    const id = randomUUID()
    expect(await tripsOf(id)).toEqual(['claim_message', 'effect', 'commit'])
    expect(await tripsOf(id)).toEqual(['claim_message', 'commit'])
  })

  it("a handler's own lock_timeout is what it was", async () => {
    const own = database.pool({ options: '-c lock_timeout=777ms' })
    const client = await own.connect()
    await client.query('begin')
    const seen: unknown[] = []
    const look = async (tx: pg.ClientBase) => void seen.push((await tx.query('show lock_timeout')).rows[0].lock_timeout)

    await inbox.once(client, message(), () => look(client))
    await client.query('rollback')
    client.release()
    await inbox.transact(own, message(), look)

    expect(seen).toEqual(['777ms', '777ms'])
  })
})

describe('a consumer that is new', () => {
  it('makes a second first message wait no longer than waitMs', async () => {
    const client = await database.client()
    await client.query('begin')
    await inbox.once(client, message({ consumer: 'new' }), () => effect(client))

    const other = createInbox({ waitMs: 50 }).transact(pool, message({ consumer: 'new', messageId: 'other' }), (tx) =>
      effect(tx),
    )

    await expect(other).rejects.toMatchObject({ code: 'IN_FLIGHT' })
    await client.query('rollback')
  })
})

describe('refusals', () => {
  it('a pool, a client outside a transaction and a message without id or consumer are refused', async () => {
    const client = await database.client()
    const none = () => Promise.resolve()

    await expect(inbox.once(pool as never, message(), none)).rejects.toMatchObject({ code: 'NOT_A_TRANSACTION' })
    await expect(inbox.once(client, message(), none)).rejects.toMatchObject({ code: 'NOT_A_TRANSACTION' })
    await client.query('begin')
    await expect(inbox.once(client, message({ messageId: '' }), none)).rejects.toMatchObject({
      code: 'INVALID_MESSAGE',
    })
    await expect(inbox.once(client, message({ consumer: '' }), none)).rejects.toMatchObject({ code: 'INVALID_MESSAGE' })
    await client.query('rollback')
  })

  it('without its tables it says what to run', async () => {
    await expect(
      createInbox({ schema: 'nowhere' }).transact(pool, message(), () => Promise.resolve()),
    ).rejects.toMatchObject({ code: 'SCHEMA_MISSING' })
  })

  it('any id works, and upper-case UUIDs are the same message', async () => {
    const apply = (messageId: string) => inbox.transact(pool, message({ messageId }), (tx) => effect(tx))

    expect(await apply('order-42:filled')).toBe('processed')
    expect(await apply('order-42:filled')).toBe('duplicate')
    expect(await apply('ABCDEF01-0000-7000-8000-000000000001')).toBe('processed')
    expect(await apply('abcdef01-0000-7000-8000-000000000001')).toBe('duplicate')
  })
})
