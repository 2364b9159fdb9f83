import { quoteIdentifier, schemaOption } from './identifiers.ts'
import { ledgerStatements, type Migration, noteStatement, readMigrations } from './migrate.ts'
import { rawQuery } from './queryable.ts'

/** The shape of a Kysely `Migration`, without importing kysely. */
export interface KyselyMigration {
  up(db: unknown): Promise<void>
}

/** What a Kysely `Migrator` of its own is made of, besides `db`. */
export interface KyselyMigrations {
  readonly provider: { getMigrations(): Promise<Record<string, KyselyMigration>> }
  readonly migrationTableName: string
  readonly migrationLockTableName: string
}

interface Executor {
  executeQuery(query: unknown): Promise<{ rows: Record<string, unknown>[] }>
}

const component = 'outbox'

/**
 * The outbox's migrations for a Kysely `Migrator` of their own: `new Migrator({ db, ...kyselyMigrations() })`. Forward only.
 *
 * Not for merging into your own migrations: Kysely demands that new names sort behind all applied ones, and no name of ours
 * can do that for every name of yours. So these have a table of their own. What they apply is noted where `migrate` notes
 * it: both may be used on one schema, and `malote doctor` knows either.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export function kyselyMigrations(options: { readonly schema?: string } = {}): KyselyMigrations {
  const schema = schemaOption(options.schema)
  return {
    provider: {
      getMigrations: async () =>
        Object.fromEntries(
          (await readMigrations()).map((migration) => [
            migration.name.replace(/\.sql$/, ''),
            { up: (db: unknown) => apply(db as Executor, schema, migration) },
          ]),
        ),
    },
    migrationTableName: 'malote_kysely_migration',
    migrationLockTableName: 'malote_kysely_migration_lock',
  }
}

/** Kysely's driver sends parameters, and such a query may hold one statement only. */
async function apply(db: Executor, schema: string, migration: Migration): Promise<void> {
  const run = (sql: string, values: unknown[] = []) => db.executeQuery(rawQuery(sql, values))
  for (const statement of ledgerStatements(schema)) await run(statement)
  const { rows: known } = await run(
    `select 1 from ${quoteIdentifier(schema)}.migrations where component = $1 and name = $2`,
    [component, migration.name],
  )
  if (known.length > 0) return
  const { rows } = await run(`select current_setting('search_path') as path`)
  await run(`select set_config('search_path', $1, true)`, [`${quoteIdentifier(schema)}, pg_temp`])
  await run(noteStatement(schema, { component }, migration))
  for (const statement of splitStatements(migration.sql)) await run(statement)
  await run(`select set_config('search_path', $1, true)`, [rows[0]?.['path'] ?? ''])
}

/** Splits a migration file at its semicolons, those in a `$$` function body excepted. Holds for our files: no string in them has one. */
function splitStatements(sql: string): string[] {
  const code = sql.replace(/--.*$/gm, '')
  return (code.match(/(?:\$\$.*?\$\$|[^;])+/gs) ?? [])
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '')
}
