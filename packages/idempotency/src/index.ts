/**
 * Idempotency for PostgreSQL: an inbox that applies each message once, and HTTP requests whose key, effect, messages and
 * response commit together.
 *
 * @packageDocumentation
 */

// Messages
export { createInbox } from './inbox.ts'
export type { BatchMessage, BatchResult, Inbox, InboxMessage, InboxOptions, InboxResult } from './inbox.ts'

export { createBatchHandler } from './batch-handler.ts'
export type { BatchHandlerOptions } from './batch-handler.ts'
export { createVersionGuard } from './version-guard.ts'
export type { EntityVersion, VersionGuard } from './version-guard.ts'
export { createKafkaPositions } from './kafka-positions.ts'
export type { AssignedPartition, KafkaPositions } from './kafka-positions.ts'

// Requests
export { createIdempotency } from './idempotency.ts'
export type { Idempotency } from './idempotency.ts'
export type { AtomicCall, AtomicHandler, AtomicOptions } from './atomic.ts'
export { NoEffectError } from './lease.ts'
export type { LeaseHandler, LeaseOptions } from './lease.ts'
export type { LeaseCall } from './lease-attempt.ts'
export type { Reconcile } from './reconcile.ts'
export type {
  HeldKey,
  KeyName,
  LeaseClaim,
  LeaseClaimResult,
  LeaseExpiryPolicy,
  LeaseStore,
  Recovery,
  Retention,
  UnresolvedKey,
} from './stores/lease-store.ts'
export type { KeyRecord, StoredResponse } from './key-record.ts'
export type { IdempotencyOptions, PepperRotation, RetentionOptions } from './idempotency-options.ts'
export type { EncryptionOptions } from './body-cipher.ts'
export type { OperationOptions, ReplayedRecord } from './prepare.ts'
export type { HandlerResponse, HttpRequest, HttpResponse, IdempotentOperation } from './http.ts'
export type { ProblemCode } from './problem.ts'

export { idempotentFetch } from './fetch.ts'
export { openApiFragments } from './openapi.ts'
export type { OpenApiFragments, OpenApiOptions } from './openapi.ts'

// Forgetting
export { maintainInbox } from './inbox-retention.ts'
export type { InboxRetentionOptions, InboxRetentionReport } from './inbox-retention.ts'
export type { KeyRetention, PurgeOptions } from './key-retention.ts'
export { startRetention } from './retention-job.ts'
export type { RetentionJob, RetentionJobOptions } from './retention-job.ts'

// Failing and seeing
export { IdempotencyError } from './errors.ts'
export type { IdempotencyErrorCode } from './errors.ts'
export type { IdempotencyEvent, InboxEvent, RequestOutcome } from './events.ts'

// The database
export { migrateIdempotency } from './migrate.ts'
export type { Database, IsolationLevel, KyselyDatabase, PgPool, PooledClient, TransactionOf } from './transaction.ts'
