import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { sql } from 'kysely'
import type pg from 'pg'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { createPool, type Tx } from '../src/database/database.ts'
import { joinTransaction } from '../src/database/join-transaction.ts'

let server: TestDatabase
let pool: pg.Pool
beforeAll(async () => {
  server = await createTestDatabase(inject('postgresUrl'))
  pool = createPool(server.url, 2, 'public')
  await pool.query('create table marks (mark text)')
})
afterAll(async () => {
  await pool.end()
  await server.drop()
})
const mark = (tx: Tx, text: string) => sql`insert into marks values (${text})`.execute(tx)
const marks = async () => (await pool.query('select mark from marks order by mark')).rows.map((row) => row.mark)

it('what runs in a joined transaction is committed and rolled back by whoever began it, and by nobody after it', async () => {
  const client = await pool.connect()
  const kept: Tx[] = []
  await client.query('begin')
  await joinTransaction(client, async (tx) => {
    kept.push(tx)
    await mark(tx, 'committed')
  })
  const meanwhile = await marks()
  await client.query('commit')
  await client.query('begin')
  await expect(
    joinTransaction(client, async (tx) => {
      await mark(tx, 'rolled back')
      throw new Error('the work failed')
    }),
  ).rejects.toThrow('the work failed')
  await client.query('rollback')

  const late = await mark(kept[0] as Tx, 'too late').then(
    () => 'written',
    () => 'refused',
  )
  client.release()
  expect(late).toBe('refused')
  expect([meanwhile, await marks()]).toEqual([[], ['committed']])
})

it('a joined transaction sends what runs in it and nothing else, whether that succeeds or fails', async () => {
  const client = await pool.connect()
  const sent: string[] = []
  const watched = Object.create(client, {
    query: {
      value: (statement: string, ...rest: readonly unknown[]) => {
        sent.push(statement)
        return (client.query as (...args: readonly unknown[]) => unknown).call(client, statement, ...rest)
      },
    },
  }) as pg.PoolClient
  await client.query('begin')

  await joinTransaction(watched, (tx) => mark(tx, 'one'))
  await joinTransaction(watched, async (tx) => {
    await mark(tx, 'two')
    throw new Error('the work failed')
  }).catch(() => {})

  await client.query('rollback')
  client.release()
  expect(sent).toEqual(['insert into marks values ($1)', 'insert into marks values ($1)'])
})
