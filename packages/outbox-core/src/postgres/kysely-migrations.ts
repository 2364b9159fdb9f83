import { quoteIdentifier, schemaOption } from './identifiers.ts'
import { readMigrations } from './migrate.ts'
import { rawQuery } from './queryable.ts'

/** The shape of a Kysely `Migration`, without importing kysely. */
export interface KyselyMigration {
  up(db: unknown): Promise<void>
}

interface Executor {
  executeQuery(query: unknown): Promise<unknown>
}

/**
 * The outbox's migrations for Kysely's own `Migrator`: merge them into what its provider returns. Their names begin with
 * `malote_outbox_`. Forward only. Use either these or `migrate`, not both on one schema.
 *
 * @example see docs/operations.md
 */
export async function kyselyMigrations(
  options: { readonly schema?: string } = {},
): Promise<Record<string, KyselyMigration>> {
  const schema = quoteIdentifier(schemaOption(options.schema))
  const entries = (await readMigrations()).map((migration): [string, KyselyMigration] => [
    `malote_outbox_${migration.name.replace(/\.sql$/, '')}`,
    { up: (db) => runAll(db as Executor, schema, migration.sql) },
  ])
  return Object.fromEntries(entries)
}

/** Kysely's driver sends parameters, and such a query may hold one statement only. */
async function runAll(db: Executor, schema: string, sql: string): Promise<void> {
  const before = (await db.executeQuery(rawQuery(`select current_setting('search_path') as path`, []))) as {
    rows: { path: string }[]
  }
  await db.executeQuery(rawQuery(`create schema if not exists ${schema}`, []))
  await db.executeQuery(rawQuery(`select set_config('search_path', $1, true)`, [`${schema}, pg_temp`]))
  for (const statement of splitStatements(sql)) await db.executeQuery(rawQuery(statement, []))
  await db.executeQuery(rawQuery(`select set_config('search_path', $1, true)`, [before.rows[0]?.path ?? '']))
}

/** Splits a migration file at its semicolons, those in a `$$` function body excepted. Holds for our files: no string in them has one. */
function splitStatements(sql: string): string[] {
  const code = sql.replace(/--.*$/gm, '')
  return (code.match(/(?:\$\$.*?\$\$|[^;])+/gs) ?? [])
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '')
}
