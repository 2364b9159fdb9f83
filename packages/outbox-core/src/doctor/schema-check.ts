import { OutboxError } from '../errors.ts'
import { doctorStatements } from '../postgres/doctor-statements.ts'
import { migrate, type MigrationClient, readMigrations } from '../postgres/migrate.ts'
import { type Found, found, ok } from './finding.ts'

/** Names of the tables of the schema; needs no privilege on them. */
export async function tablesOf(client: MigrationClient, schema: string): Promise<ReadonlySet<string>> {
  const { rows } = await client.query(doctorStatements(schema).tables, [schema])
  return new Set(rows.map((row) => String(row['name'])))
}

/** Looks whether the tables are those of this version. Nothing else can be looked at when there is a problem. */
export async function checkSchema(client: MigrationClient, schema: string, flag: string): Promise<readonly Found[]> {
  const statements = doctorStatements(schema)
  const tables = await tablesOf(client, schema)
  const run = `\`malote migrate${flag}\``
  if (!tables.has('messages'))
    return [found('problem', 'SCHEMA_MISSING', `the outbox tables are not in schema "${schema}"`, run)]
  if (!tables.has('migrations'))
    return [
      found(
        'problem',
        'SCHEMA_BY_ANOTHER_TOOL',
        'the tables are there, but nothing notes which migrations made them: another tool ran the files',
        `compare the schema with the files, then note each one: \`malote migrate --adopt FILE${flag}\``,
      ),
    ]
  const known = new Set((await readMigrations()).map(({ name }) => name))
  const { rows } = await client.query(statements.ledger)
  const newer = rows.filter((row) => row['component'] === 'outbox' && !known.has(String(row['name'])))
  try {
    const missing = await migrate(client, { schema, dryRun: true })
    if (missing.length > 0)
      return [found('problem', 'SCHEMA_OLDER', `not applied: ${missing.map(({ name }) => name).join(', ')}`, run)]
  } catch (error) {
    if (!(error instanceof OutboxError)) throw error
    return [found('problem', 'SCHEMA_DRIFTED', error.message, 'use the version of the package that applied it')]
  }
  if (newer.length > 0)
    return [
      found(
        'warning',
        'SCHEMA_NEWER',
        `the database has migrations that this version does not know: ${newer.map((row) => String(row['name'])).join(', ')}`,
        'upgrade this package; older relays go on working meanwhile',
      ),
    ]
  return ok('all applied')
}
