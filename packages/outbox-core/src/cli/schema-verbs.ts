import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import type { DatabaseClient } from '../postgres/database-client.ts'
import { grantStatements, type RolePurpose } from '../postgres/grants.ts'
import { defaultSchema, schemaOption } from '../postgres/identifiers.ts'
import {
  ledgerStatements,
  migrate as migrateOutbox,
  type MigrateOptions,
  type Migration,
  type MigrationClient,
  migrationScript,
  noteStatement,
  readMigrations,
} from '../postgres/migrate.ts'
import { UsageError, type Verb } from './invocation.ts'

type Component = 'outbox' | 'idempotency'
type Migrate = (client: MigrationClient, options: MigrateOptions) => Promise<readonly Migration[]>

/** What the command line uses of the other package. */
interface IdempotencyPackage {
  readonly migrateIdempotency: Migrate
  readonly maintainInbox: (
    db: DatabaseClient,
    options: { readonly schema?: string; readonly keepDays: number; readonly profile?: 'simple' | 'partitioned' },
  ) => Promise<{ readonly rows: number; readonly dropped: readonly string[]; readonly complete: boolean }>
  readonly purgeIdempotencyKeys: (
    db: DatabaseClient,
    options: { readonly schema?: string; readonly batchSize: number },
  ) => Promise<{ readonly keys: number; readonly bodies: number }>
}

/** The other package is looked for where the command is run: this one must not depend on it. */
export async function idempotencyPackage(): Promise<IdempotencyPackage | null> {
  const from = createRequire(pathToFileURL(`${process.cwd()}/package.json`))
  let path: string
  try {
    path = from.resolve('@malote/idempotency')
  } catch {
    return null // Not installed here: its tables are not wanted here.
  }
  return (await import(pathToFileURL(path).href)) as IdempotencyPackage
}

/** Null where the other package is not installed. */
export async function migrateIdempotency(): Promise<Migrate | null> {
  return (await idempotencyPackage())?.migrateIdempotency ?? null
}

/** Without `--only`: the outbox, and idempotency where it is installed. */
async function chosen(only: Component | undefined): Promise<readonly (readonly [Component, Migrate])[]> {
  const idempotency = only === 'outbox' ? null : await migrateIdempotency()
  if (only === 'idempotency' && idempotency === null)
    throw new UsageError('@malote/idempotency is not installed here: run the command where it is')
  return [
    ...(only === 'idempotency' ? [] : [['outbox', migrateOutbox] as const]),
    ...(idempotency === null ? [] : [['idempotency', idempotency] as const]),
  ]
}

export const migrate: Verb<{ dryRun?: boolean; only?: Component; adopt?: readonly string[] }> = async (invocation) => {
  const { client, schema, flags, output } = invocation
  if (flags.adopt !== undefined && (flags.dryRun === true || flags.only === 'idempotency'))
    throw new UsageError('--adopt notes files of the outbox at once: leave out --dry-run and --only idempotency')
  if (flags.adopt !== undefined) return adopt(client, schemaOption(schema.schema), flags.adopt)
  const results: { component: Component; name: string }[] = []
  const scripts: string[] = []
  for (const [component, run] of await chosen(flags.only)) {
    const migrations = await run(client, { ...schema, dryRun: flags.dryRun === true })
    results.push(...migrations.map(({ name }) => ({ component, name })))
    if (flags.dryRun === true && migrations.length > 0)
      scripts.push(migrationScript(migrations, { ...schema, component }))
  }
  const lines = flags.dryRun === true ? scripts : results.map(({ name }) => `applied ${name}`)
  // A comment, so that it can be piped too.
  output.print(results, results.length === 0 ? [flags.dryRun === true ? '-- nothing to do' : 'nothing to do'] : lines)
  return 0
}

/** Notes files that another tool ran. */
async function adopt(client: MigrationClient, schema: string, names: readonly string[]): Promise<number> {
  const known = await readMigrations()
  const adopted = names.map((name) => {
    const migration = known.find((candidate) => candidate.name === name)
    if (migration === undefined)
      throw new UsageError(`there is no migration "${name}": they are ${known.map((one) => one.name).join(', ')}`)
    return migration
  })
  const notes = adopted.map((migration) => noteStatement(schema, { component: 'outbox' }, migration))
  await client.query([...ledgerStatements(schema), ...notes].join(';\n'))
  return 0
}

/** Needs no database: it prints SQL. */
export function grants(flags: { role: string; for: RolePurpose; schema?: string; json?: boolean }): number {
  const statements = grantStatements(flags.role, flags.for, { schema: flags.schema ?? defaultSchema })
  console.log(flags.json === true ? JSON.stringify(statements) : statements.join('\n'))
  return 0
}
