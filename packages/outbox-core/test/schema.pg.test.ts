import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { Kysely, PostgresDialect } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { kyselyMigrations, migrate, migrationScript } from '../src/index.ts'
import { ledgerStatements, readMigrations } from '../src/postgres/migrate.ts'
import { eventually } from '../src/testing/index.ts'

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
       union all select 3000, replace(pg_get_triggerdef(oid), format('%I.', $1::text), '') || ' enabled ' || tgenabled::text from pg_trigger where tgrelid = class.oid and not tgisinternal
     ) as line
     where class.relnamespace = quote_ident($1)::regnamespace and class.relkind in ('r', 'p')
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

  it('is the same when Kysely runs the migrations, beside migrations of the application that come later', async () => {
    const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool: database.pool() }) })
    const own: Record<string, Migration> = { '2026_01_01_accounts': { up: async () => {} } }
    const application = new Migrator({ db, provider: { getMigrations: async () => own } })
    const malote = new Migrator({ db, ...kyselyMigrations({ schema: 'by_kysely' }) })

    expect((await application.migrateToLatest()).error).toBeUndefined()
    expect((await malote.migrateToLatest()).error).toBeUndefined()
    own['2026_06_01_orders'] = { up: async () => {} }
    expect((await application.migrateToLatest()).error).toBeUndefined()

    await migrate(pool, { schema: 'ours' })
    expect(await describeSchema('by_kysely')).toEqual(await describeSchema('ours'))
    expect(await migrate(pool, { schema: 'by_kysely' })).toEqual([])
    await db.destroy()
  })

  it('is the same when the script of a dry run is run, and the script is refused the second time', async () => {
    const client = await database.client()
    const migrations = await migrate(client, { schema: 'by script', dryRun: true })
    const script = migrationScript(migrations, { schema: 'by script', component: 'outbox' })

    await client.query(script)

    await migrate(pool, { schema: 'other' })
    const described = (await describeSchema('by script')).replaceAll('"by script".', '')
    expect(described).toEqual(await describeSchema('other'))
    const stray = `select count(*)::int as n from pg_tables where schemaname = 'public' and tablename = 'messages'`
    expect((await client.query(stray)).rows).toEqual([{ n: 0 }])
    expect(await migrate(client, { schema: 'by script' })).toEqual([])
    await expect(client.query(script)).rejects.toMatchObject({ code: '23505' })
    await client.query('rollback')
  })

  it('is made by one of those who start together, also where the others remember that it was not there', async () => {
    const [first, second] = [await database.client(), await database.client()]
    await migrate(second, { schema: 'dropped' })
    await pool.query('drop schema dropped cascade')
    await first.query('begin')
    for (const statement of ledgerStatements('dropped')) await first.query(statement)
    const migrating = migrate(second, { schema: 'dropped' })
    await eventually(async () => {
      const waiting = `select from pg_locks join pg_database as d on d.oid = database
        where d.datname = current_database() and locktype = 'advisory' and not granted`
      expect((await pool.query(waiting)).rowCount).toBe(1)
    })

    await first.query('commit')

    expect(await migrating).toHaveLength((await readMigrations()).length)
  })
})
