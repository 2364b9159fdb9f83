/**
 * What other Malote packages share: how to recognise a caller's transaction, keep a pool's lost connections from ending the
 * process, quote a name, and run numbered migrations.
 *
 * @packageDocumentation
 */
export { guardPool } from './guard-pool.ts'
export { defaultSchema, quoteIdentifier, schemaOption } from './identifiers.ts'
export { migrationScript, readMigrations, runMigrations } from './migrate.ts'
export type { MigrateOptions, Migration, MigrationClient, MigrationPool, MigrationSet } from './migrate.ts'
export type { DatabaseClient, IsolationLevel } from './database-client.ts'
export { sqlStateOf, transactionQueryable } from './queryable.ts'
export type { KyselyTransaction, OutboxTransaction, PgClient, Queryable } from './queryable.ts'
