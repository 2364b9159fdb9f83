import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from './database.ts'

let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  await database.pool().query('create table things (id integer)')
})
afterAll(() => database.drop())

it('truncate gets past the transactions that a failed case left open, one behind the other', async () => {
  const [first, second] = [await database.client(), await database.client()]
  await first.query('begin; insert into things values (1); select pg_advisory_xact_lock(1)')
  const waiting = second.query('begin; insert into things values (2); select pg_advisory_xact_lock(1)')

  await database.truncate('things')

  await waiting
  expect((await database.pool().query('select from things')).rowCount).toBe(0)
  await expect(first.query('commit')).rejects.toThrow(/terminat|not queryable/)
  await expect(second.query('commit')).rejects.toThrow(/terminat|not queryable/)
})
