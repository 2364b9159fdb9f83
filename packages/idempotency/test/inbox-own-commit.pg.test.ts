import { PermanentFailure } from '@malote/outbox-core'
import { pgDatabase } from '@malote/outbox-core/pg'
import { CompiledQuery, Kysely, PostgresDialect } from 'kysely'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createInbox } from '../src/index.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool
let kysely: Kysely<object>
let calls = 0

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  const kyselys = database.pool()
  kyselys.on('connect', (client) => client.on('error', () => {})) // Kysely does not listen to a connection that it works with.
  kysely = new Kysely<object>({ dialect: new PostgresDialect({ pool: kyselys }) })
  await pool.query('create table effects (name text not null)')
})
beforeEach(async () => {
  await database.truncate('effects, malote.processed_messages')
  calls = 0
})
afterAll(async () => {
  await kysely.destroy()
  await database.drop()
})

const inbox = createInbox()
const consumer = 'balance'
const id = (last: number) => `0198b1a0-0000-7000-8000-00000000000${String(last)}`
const effects = async () => (await pool.query('select name from effects order by name')).rows.map((row) => row.name)
const proofs = async () => (await pool.query('select from malote.processed_messages')).rowCount
const kept = { code: 'NOT_A_TRANSACTION', message: expect.stringContaining('counts as a duplicate') }

type Run = (text: string) => Promise<unknown>
const withTx = (handle: (run: Run) => Promise<void>) => (tx: { query: Run }) => handle((text) => tx.query(text))
const clients: Record<string, (handle: (run: Run) => Promise<void>) => Promise<unknown>> = {
  'a pg pool': (handle) => inbox.transact(pool, { consumer, messageId: id(1) }, withTx(handle)),
  'a client that sends a statement at a time': (handle) => {
    const db = { ...pgDatabase(pool) } // A copy does not know the pool, which would send several.
    return inbox.transact(db, { consumer, messageId: id(1) }, withTx(handle))
  },
  'a Kysely': (handle) =>
    inbox.transact(kysely, { consumer, messageId: id(1) }, (tx) =>
      handle((text) => tx.executeQuery(CompiledQuery.raw(text))),
    ),
}

const conflict = Object.assign(new Error('a conflict'), { code: '40001' })
const endings: Record<string, () => Promise<void>> = {
  returns: () => Promise.resolve(),
  throws: () => Promise.reject(new Error('after its own end')),
  'throws a conflict': () => Promise.reject(conflict),
}

const endingWith = (ends: string, how: () => Promise<void>) => async (run: Run) => {
  calls++
  await run(`insert into effects values ('before')`)
  for (const text of ends.split('; ')) await run(text).catch(() => {})
  await how()
}

describe.each(Object.entries(clients))('a message whose handler ends its transaction itself, on %s,', (_, apply) => {
  describe.each(Object.entries(endings))('and %s,', (_, how) => {
    it.each(['commit', 'commit; begin; select 1 / 0'])('is dead-lettered when that was by %s', async (ends) => {
      const delivered = apply(endingWith(ends, how))

      await expect(delivered).rejects.toBeInstanceOf(PermanentFailure)
      await expect(delivered).rejects.toMatchObject(kept)
      expect([calls, await effects(), await proofs()]).toEqual([1, ['before'], 1])
    })
  })

  it.each(['rollback', `rollback; begin; insert into effects values ('after')`])(
    'is not taken for applied when that was by %s',
    async (ends) => {
      await expect(apply(endingWith(ends, () => Promise.resolve()))).rejects.toMatchObject({
        code: 'NOT_A_TRANSACTION',
      })
      await expect(apply(endingWith(ends, () => Promise.reject(new Error('after'))))).rejects.toThrow('after')

      expect([calls, await effects(), await proofs()]).toEqual([2, [], 0])
    },
  )

  it('and loses its connection, is dead-lettered', async () => {
    const delivered = apply(endingWith('commit; select pg_terminate_backend(pg_backend_pid())', endings['throws']!))

    await expect(delivered).rejects.toMatchObject(kept)
    expect([calls, await effects(), await proofs()]).toEqual([1, ['before'], 1])
  })
})

it('a batch whose handler commits itself is dead-lettered whole, but for what was applied before', async () => {
  await inbox.transact(pool, { consumer, messageId: id(2) }, async () => {})
  const messages = [1, 2, 3].map((last) => ({ messageId: id(last) }))

  const results = await inbox.transactBatch(pool, consumer, messages, withTx(endingWith('commit', endings['throws']!)))

  expect(results).toMatchObject([{ failed: kept }, 'duplicate', { failed: kept }])
  expect([calls, await effects()]).toEqual([1, ['before']])
})

it.each([
  ['commit', kept, 1],
  ['rollback', { code: 'NOT_A_TRANSACTION' }, 0],
])("in the caller's transaction %s is told as well", async (ends, told, count) => {
  for (const how of [endings['returns']!, endings['throws']!]) {
    await database.truncate('effects, malote.processed_messages')
    const client = await database.client()
    await client.query('begin')
    const applied = inbox.once(client, { consumer, messageId: id(1) }, () =>
      endingWith(ends, how)((text) => client.query(text)),
    )

    await expect(applied).rejects.toMatchObject(
      how === endings['throws'] && count === 0 ? { message: 'after its own end' } : told,
    )
    expect(await proofs()).toBe(count)
  }
})

describe('an end that PostgreSQL tells of', () => {
  const applied = (db: pg.Pool, handle: (run: Run) => Promise<void>) =>
    inbox.transact(db, { consumer, messageId: id(1) }, withTx(handle))

  it('is none when the handler goes back to a savepoint of its own', async () => {
    await applied(pool, async (run) => {
      await run(`insert into effects values ('before'); savepoint own`)
      await run('rollback to savepoint own')
      await run(`insert into effects values ('after')`)
    })

    expect([await effects(), await proofs()]).toEqual([['after', 'before'], 1])
  })

  it.each([
    ['commit', kept, 1],
    ['rollback', { code: 'NOT_A_TRANSACTION' }, 0],
  ])('is found out when the handler has not waited for its %s', async (end, told, count) => {
    const delivered = applied(pool, async (run) => {
      await run(`insert into effects values ('before')`)
      void run(end)
    })

    await expect(delivered).rejects.toMatchObject(told)
    expect(await proofs()).toBe(count)
  })

  it('is asked for on a connection that tells nothing', async () => {
    const mute = Object.assign(Object.create(pool) as pg.Pool, {
      connect: async () => new Proxy(await pool.connect(), { get: onlyQueries }),
    })
    const delivered = applied(
      mute,
      endingWith('rollback; begin', () => Promise.resolve()),
    )

    await expect(delivered).rejects.toMatchObject({ code: 'NOT_A_TRANSACTION' })
    expect(await proofs()).toBe(0)
    expect(await applied(mute, () => Promise.resolve())).toBe('processed')
  })

  function onlyQueries(client: pg.PoolClient, name: string | symbol): unknown {
    if (name === 'query') return client.query.bind(client)
    return name === 'release' ? client.release.bind(client) : undefined
  }
})
