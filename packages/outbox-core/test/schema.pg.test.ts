import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { Kysely, PostgresDialect } from 'kysely'
import { Migrator } from 'kysely/migration'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { kyselyMigrations, migrate } from '../src/index.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
})
afterAll(() => database.drop())

/** The schema as text: what a reviewer compares when a migration changes it. */
async function describeSchema(schema: string): Promise<string> {
  const { rows } = await pool.query(
    `select class.relname || ': ' || line.text as line
     from pg_class as class, lateral (
       select attnum::int as position, format('%s %s%s%s', attname, format_type(atttypid, atttypmod), case when attnotnull then ' not null' else '' end,
         coalesce(' default ' || pg_get_expr(adbin, adrelid), '') || case attidentity when 'a' then ' generated always as identity' else '' end) as text
       from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
       where attrelid = class.oid and attnum > 0 and not attisdropped
       union all select 1000, format('constraint %s %s', conname, pg_get_constraintdef(oid)) from pg_constraint where conrelid = class.oid and contype <> 'n'
       union all select 2000, replace(pg_get_indexdef(indexrelid), format('%I.', $1::text), '') from pg_index where indrelid = class.oid
     ) as line
     where class.relnamespace = $1::regnamespace and class.relkind = 'r'
     order by class.relname, line.position, line.text`,
    [schema],
  )
  return rows.map((row) => String(row.line).replaceAll(`${schema}.`, '')).join('\n')
}

describe('the schema', () => {
  it('is the one reviewed in schema.snap.txt', async () => {
    await migrate(pool, { schema: 'reviewed' })

    await expect(`${await describeSchema('reviewed')}\n`).toMatchFileSnapshot('schema.snap.txt')
  })

  it('is the same when Kysely runs the migrations', async () => {
    await pool.query('create schema by_kysely')
    const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool: database.pool() }) })
    const migrator = new Migrator({ db, provider: { getMigrations: () => kyselyMigrations({ schema: 'by_kysely' }) } })

    const { error } = await migrator.migrateToLatest()

    expect(error).toBeUndefined()
    await migrate(pool, { schema: 'ours' })
    const ours = (await describeSchema('ours')).split('\n').filter((line) => !line.startsWith('migrations:'))
    expect((await describeSchema('by_kysely')).split('\n')).toEqual(ours)
    await db.destroy()
  })
})
