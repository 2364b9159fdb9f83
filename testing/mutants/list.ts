import { mutants as coreAdapter } from './outbox-core/adapter.ts'
import { mutants as coreCli } from './outbox-core/cli.ts'
import { mutants as coreConsole } from './outbox-core/console.ts'
import { mutants as coreMigrations } from './outbox-core/migrations.ts'
import { mutants as corePostgres } from './outbox-core/postgres.ts'
import { mutants as coreRelayBacklog } from './outbox-core/relay-backlog.ts'
import { mutants as coreRelayPublishing } from './outbox-core/relay-publishing.ts'
import { mutants as coreRelayReading } from './outbox-core/relay-reading.ts'
import { mutants as coreRelaySession } from './outbox-core/relay-session.ts'
import { mutants as coreSrc } from './outbox-core/src.ts'
import { mutants as adapters } from './adapters.ts'
import { mutants as idempotencyDatabase } from './idempotency/database.ts'
import { mutants as idempotencyFrameworks } from './idempotency/frameworks.ts'
import { mutants as idempotencyHttpAtomic } from './idempotency/http-atomic.ts'
import { mutants as idempotencyHttpLease } from './idempotency/http-lease.ts'
import { mutants as idempotencyHttp } from './idempotency/http.ts'
import { mutants as idempotencyInbox } from './idempotency/inbox.ts'
import { mutants as idempotencyMigrations } from './idempotency/migrations.ts'
import { mutants as idempotencySrc } from './idempotency/src.ts'
import type { Mutant } from './mutant.ts'

/**
 * Chosen by hand: each breaks a promise in a way that a tired reviewer could let pass.
 *
 * A mutant stands under its package, in the file named after the folder of the source that it changes. The relay has four.
 */
export const mutants: readonly Mutant[] = [
  ...coreAdapter,
  ...coreCli,
  ...coreConsole,
  ...coreMigrations,
  ...corePostgres,
  ...coreRelayBacklog,
  ...coreRelayPublishing,
  ...coreRelayReading,
  ...coreRelaySession,
  ...coreSrc,
  ...adapters,
  ...idempotencyDatabase,
  ...idempotencyFrameworks,
  ...idempotencyHttpAtomic,
  ...idempotencyHttpLease,
  ...idempotencyHttp,
  ...idempotencyInbox,
  ...idempotencyMigrations,
  ...idempotencySrc,
]
