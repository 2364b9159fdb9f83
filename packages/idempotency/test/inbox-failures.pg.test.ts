import { Kysely, PostgresDialect } from 'kysely'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createInbox } from '../src/index.ts'
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

describe('a failing handler', () => {
  it('31. its dedup row cannot be committed by whoever swallows the error', async () => {
    const client = await database.client()
    await client.query('begin')
    await inbox.once(client, message(), () => Promise.reject(new Error('no'))).catch(() => {})
    await client.query('commit')

    expect((await pool.query('select * from malote.processed_messages')).rows).toEqual([])
    expect(await inbox.transact(pool, message(), (tx) => effect(tx))).toBe('processed')
  })

  it("31. its dedup row goes with the caller's savepoint, and the transaction lives on", async () => {
    const client = await database.client()
    await client.query('begin')
    await client.query('savepoint s')
    await inbox.once(client, message(), () => Promise.reject(new Error('no'))).catch(() => {})
    await client.query('rollback to savepoint s')
    await effect(client, 'kept')
    await client.query('commit')

    expect((await pool.query('select * from malote.processed_messages')).rows).toEqual([])
    expect(await effects()).toEqual(['kept'])
  })

  it('that swallowed a database error is not reported as processed', async () => {
    const swallow = (tx: pg.ClientBase) =>
      tx
        .query('select 1/0')
        .then(() => {})
        .catch(() => {})

    await expect(inbox.transact(pool, message(), swallow)).rejects.toThrow(/aborted/)
    const client = await database.client()
    await client.query('begin')
    await expect(inbox.once(client, message(), () => swallow(client))).rejects.toThrow(/aborted/)
    const db = new Kysely<object>({ dialect: new PostgresDialect({ pool: database.pool() }) })
    const { sql } = await import('kysely')
    await expect(
      inbox.transact(db, message(), (trx) =>
        sql`select 1/0`
          .execute(trx)
          .then(() => {})
          .catch(() => {}),
      ),
    ).rejects.toThrow(/aborted/)
    await db.destroy()
  })

  it.each([['40001'], ['40P01']])('33. is run again in a new transaction after %s', async (state) => {
    let runs = 0
    const result = await inbox.transact(pool, message(), async (tx) => {
      await effect(tx)
      if (++runs < 3) await tx.query(`do $$ begin raise exception 'injected' using errcode = '${state}'; end $$`)
    })

    expect([result, runs, await effects()]).toEqual(['processed', 3, ['effect']])
  })

  it('21. a lost connection at COMMIT is unknown, not processed', async () => {
    const lost = inbox.transact(pool, message(), async (tx) => {
      await effect(tx)
      const commit = tx.query.bind(tx) as (text: string) => Promise<never>
      Object.assign(tx, {
        query: async (text: string) => {
          if (!text.endsWith('commit')) return commit(text)
          await pool.query('select pg_terminate_backend($1)', [(tx as unknown as { processID: number }).processID])
          return commit(text)
        },
      })
    })

    await expect(lost).rejects.toMatchObject({ code: 'COMMIT_UNKNOWN' })
    expect(await inbox.transact(pool, message(), (tx) => effect(tx))).toBe('processed')
  })
})
