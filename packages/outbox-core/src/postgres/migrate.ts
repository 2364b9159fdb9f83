import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { OutboxError } from '../errors.ts'
import { guardPool } from './guard-pool.ts'
import { quoteIdentifier, quoteLiteral, schemaOption } from './identifiers.ts'
import { sqlStateOf } from './queryable.ts'

/** A `pg` client. Migrations open their own transactions, so it must not be inside one. */
export interface MigrationClient {
  query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
}

/** A `pg` pool. */
export interface MigrationPool {
  connect(): Promise<MigrationClient & { release(error?: boolean): void }>
}

/** Where `migrate` makes its tables, and whether it only says what it would do. */
export interface MigrateOptions {
  /** Schema to create and fill. @defaultValue "malote" */
  readonly schema?: string
  /** Change nothing; only say what would run. @defaultValue false */
  readonly dryRun?: boolean
}

/** One numbered SQL file. */
export interface Migration {
  readonly name: string
  readonly sql: string
}

/** A set of migrations of one package; each set is numbered on its own. */
export interface MigrationSet {
  /** Kept beside each applied migration, so that several packages share one schema. */
  readonly component: string
  /** Folders to look for, first match wins: the source tree and the published package differ in depth. */
  readonly folders: readonly URL[]
}

const outboxMigrations: MigrationSet = {
  component: 'outbox',
  folders: [new URL('../../migrations/', import.meta.url), new URL('../migrations/', import.meta.url)],
}

/**
 * Creates or upgrades the outbox tables. Runs what is missing, in order, each migration in a transaction of its own, under
 * an advisory lock: any number of processes may call it at once at start-up.
 *
 * @returns the migrations that were applied (or, with `dryRun`, would be)
 * @throws OutboxError `INVALID_OPTION`, `SCHEMA_UNSUPPORTED` when an applied migration differs from the file of this version
 */
export function migrate(
  db: MigrationClient | MigrationPool,
  options: MigrateOptions = {},
): Promise<readonly Migration[]> {
  return runMigrations(db, outboxMigrations, options)
}

/** Same as `migrate`, for another package's set of migrations. */
export async function runMigrations(
  db: MigrationClient | MigrationPool,
  set: MigrationSet,
  options: MigrateOptions = {},
): Promise<readonly Migration[]> {
  const schema = schemaOption(options.schema)
  const migrations = await readMigrations(set)
  if (!('connect' in db) || 'getTransactionStatus' in db)
    return applyAll(db as MigrationClient, schema, set, migrations, options)
  guardPool(db)
  const client = await db.connect()
  try {
    return await applyAll(client, schema, set, migrations, options)
  } finally {
    client.release()
  }
}

/** The migration files of a set, in order. */
export async function readMigrations(set: MigrationSet = outboxMigrations): Promise<readonly Migration[]> {
  const folder = set.folders.find((candidate) => existsSync(candidate))
  if (folder === undefined) {
    throw new OutboxError(
      'SCHEMA_UNSUPPORTED',
      `the migration files of ${set.component} are not beside its code: a bundler left them out; run migrations from the installed package`,
    )
  }
  const files = (await readdir(folder)).filter((file) => /^\d{4}_.+\.sql$/.test(file)).sort()
  return Promise.all(files.map(async (file) => ({ name: file, sql: await readFile(new URL(file, folder), 'utf8') })))
}

async function applyAll(
  client: MigrationClient,
  schema: string,
  set: MigrationSet,
  migrations: readonly Migration[],
  options: MigrateOptions,
): Promise<readonly Migration[]> {
  // A look first: a role that may not create anything starts up as long as nothing is to be created.
  const toApply = missing(migrations, await appliedChecksums(client, schema, set))
  if (options.dryRun === true || toApply.length === 0) return toApply
  const applied: Migration[] = []
  for (;;) {
    const next = await applyNext(client, schema, set, migrations)
    if (next === undefined) return applied
    applied.push(next)
  }
}

/** One transaction: look what is missing and apply the first of it, while nobody else can. */
async function applyNext(
  client: MigrationClient,
  schema: string,
  set: MigrationSet,
  migrations: readonly Migration[],
): Promise<Migration | undefined> {
  const quoted = quoteIdentifier(schema)
  await client.query('begin isolation level read committed')
  try {
    for (const statement of ledgerStatements(schema)) await client.query(statement)
    const [next] = missing(migrations, await appliedChecksums(client, schema, set))
    if (next !== undefined) {
      // pg_temp last: left out it would come first, and functions made here would see a caller's temporary tables before ours.
      await client.query(`set local search_path to ${quoted}, pg_temp`)
      await client.query(noteStatement(schema, set, next))
      await client.query(next.sql)
    }
    await client.query('commit')
    return next
  } catch (error) {
    await client.query('rollback').catch(() => {}) // The first error is the one to report; a broken connection rolls back by itself.
    throw error
  }
}

/** Lets one process migrate at a time, and makes the place where it is noted what was applied. */
export function ledgerStatements(schema: string): readonly string[] {
  const quoted = quoteIdentifier(schema)
  return [
    `select pg_advisory_xact_lock(hashtextextended(${quoteLiteral(`malote migrations ${schema}`)}, 0))::text`,
    // A session that waited for the lock may remember that there is no such schema: it hears of others' changes when it uses a table.
    'select 1 from pg_catalog.pg_namespace limit 0',
    `create schema if not exists ${quoted}`,
    `create table if not exists ${quoted}.migrations (
  component text not null, name text not null, checksum text not null,
  applied_at timestamptz not null default now(),
  constraint migrations_pkey primary key (component, name))`,
  ]
}

/** Notes that the migration is applied; fails when it is noted already. */
export function noteStatement(schema: string, set: Pick<MigrationSet, 'component'>, migration: Migration): string {
  const values = [set.component, migration.name, checksum(migration)].map(quoteLiteral).join(', ')
  return `insert into ${quoteIdentifier(schema)}.migrations (component, name, checksum) values (${values})`
}

/**
 * One script that does what `migrate` would: for `psql`, for a review, for a role that only a DBA has. All or nothing, and
 * run a second time it fails before it changes anything.
 */
export function migrationScript(
  migrations: readonly Migration[],
  options: { readonly schema?: string; readonly component: string },
): string {
  const schema = schemaOption(options.schema)
  const set = { component: options.component }
  return [
    'begin isolation level read committed;',
    ...ledgerStatements(schema).map((statement) => `${statement};`),
    `set local search_path to ${quoteIdentifier(schema)}, pg_temp;`,
    ...migrations.flatMap((migration) => [
      `\n-- ${set.component} ${migration.name}\n${noteStatement(schema, set, migration)};`,
      migration.sql.trimEnd(),
    ]),
    '\ncommit;\n',
  ].join('\n')
}

async function appliedChecksums(
  client: MigrationClient,
  schema: string,
  set: MigrationSet,
): Promise<Map<string, string>> {
  try {
    const { rows } = await client.query(
      `select name, checksum from ${quoteIdentifier(schema)}.migrations where component = $1`,
      [set.component],
    )
    return new Map(rows.map((row) => [String(row['name']), String(row['checksum'])]))
  } catch (error) {
    if (sqlStateOf(error) === '42P01' || sqlStateOf(error) === '3F000') return new Map()
    throw error
  }
}

/** @throws OutboxError `SCHEMA_UNSUPPORTED` */
function missing(migrations: readonly Migration[], applied: ReadonlyMap<string, string>): readonly Migration[] {
  for (const migration of migrations) {
    const known = applied.get(migration.name)
    if (known !== undefined && known !== checksum(migration)) {
      throw new OutboxError(
        'SCHEMA_UNSUPPORTED',
        `migration ${migration.name} was applied with other contents than this version ships: use the version that applied it, or compare the schema by hand`,
      )
    }
  }
  return migrations.filter((migration) => !applied.has(migration.name))
}

function checksum(migration: Migration): string {
  return createHash('sha256').update(migration.sql.replaceAll('\r\n', '\n')).digest('hex')
}
