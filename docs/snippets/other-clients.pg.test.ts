import { createOutbox, migrate } from '@malote/outbox-core'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { drizzle } from 'drizzle-orm/node-postgres'
import knex from 'knex'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { drizzleQueryable, knexQueryable, postgresJsQueryable } from './other-clients.ts'

const outbox = createOutbox({ ordering: 'commit' })
const message = (client: string) => ({
  topic: client,
  type: 'order.accepted',
  payload: { client: `it's a ":quoted" ?`, $1: '$2' },
  orderingKey: 'k',
})
let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  await migrate(database.pool())
})
afterAll(() => database.drop())

const payloads = async (topic: string) =>
  (await database.pool().query('select payload from malote.messages where topic = $1', [topic])).rows.map((row) =>
    JSON.parse(row.payload),
  )

describe('a message added through', () => {
  it('Drizzle commits and rolls back with its transaction', async () => {
    const db = drizzle(database.pool())

    await db.transaction((tx) => outbox.add(drizzleQueryable(tx), message('drizzle')))
    await db
      .transaction(async (tx) => (await outbox.add(drizzleQueryable(tx), message('drizzle')), tx.rollback()))
      .catch(() => {})

    expect(await payloads('drizzle')).toEqual([message('drizzle').payload])
  })

  it('Knex commits and rolls back with its transaction', async () => {
    const db = knex({ client: 'pg', connection: database.url })

    await db.transaction((trx) => outbox.add(knexQueryable(trx), message('knex')))
    await db
      .transaction(async (trx) => (await outbox.add(knexQueryable(trx), message('knex')), trx.rollback()))
      .catch(() => {})

    expect(await payloads('knex')).toEqual([message('knex').payload])
    await db.destroy()
  })

  it('postgres.js commits and rolls back with its transaction', async () => {
    const db = postgres(database.url)

    await db.begin((tx) => outbox.add(postgresJsQueryable(tx), message('postgres-js')))
    await db
      .begin(
        async (tx) => (
          await outbox.add(postgresJsQueryable(tx), message('postgres-js')),
          Promise.reject(new Error('no'))
        ),
      )
      .catch(() => {})

    expect(await payloads('postgres-js')).toEqual([message('postgres-js').payload])
    await db.end()
  })
})
