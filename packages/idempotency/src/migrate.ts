import {
  type MigrateOptions,
  type Migration,
  type MigrationClient,
  type MigrationPool,
  type MigrationSet,
  runMigrations,
} from '@malote/outbox-core/postgres'

const idempotencyMigrations: MigrationSet = {
  component: 'idempotency',
  folders: [new URL('../migrations/', import.meta.url), new URL('./migrations/', import.meta.url)],
}

/**
 * Creates or upgrades the tables of the inbox and of the idempotency keys, beside the outbox tables in the same schema.
 * Any number of processes may call it at once at start-up.
 *
 * @returns the migrations that were applied (or, with `dryRun`, would be)
 * @throws OutboxError `INVALID_OPTION`, `SCHEMA_UNSUPPORTED` when an applied migration differs from the file of this version
 */
export function migrateIdempotency(
  db: MigrationClient | MigrationPool,
  options: MigrateOptions = {},
): Promise<readonly Migration[]> {
  return runMigrations(db, idempotencyMigrations, options)
}
