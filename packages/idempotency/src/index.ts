/**
 * Idempotency for PostgreSQL: an inbox that applies each message once, and HTTP requests whose key, effect, messages and
 * response commit together.
 *
 * @packageDocumentation
 */

// Messages
export { createInbox } from './inbox/inbox.ts'
export type { BatchResult, Inbox, InboxResult } from './inbox/inbox.ts'
export type { BatchMessage, InboxMessage, InboxOptions } from './inbox/options.ts'

export { createBatchHandler } from './inbox/batch-handler.ts'
export type { BatchHandlerOptions } from './inbox/batch-handler.ts'
export { createHandlers } from './inbox/create-handlers.ts'
export type { CreateHandlersOptions, TypeHandler, TypeHandlers } from './inbox/create-handlers.ts'
export { createVersionGuard } from './inbox/version-guard.ts'
export type { EntityVersion, VersionGuard } from './inbox/version-guard.ts'
export { createKafkaPositions } from './inbox/kafka-positions.ts'
export type { AssignedPartition, KafkaPositions } from './inbox/kafka-positions.ts'

// Requests
export { createIdempotency } from './http/idempotency.ts'
export type { Idempotency } from './http/idempotency.ts'
export type { AtomicCall, AtomicHandler, AtomicOptions } from './http/atomic/atomic.ts'
export type { RequestBatchCall, RequestBatchHandler, RequestBatchOptions } from './http/atomic/batch.ts'
export type { CurrentCall } from './http/current-call.ts'
export type { AroundOptions } from './frameworks/around.ts'
export { NoEffectError } from './http/lease/lease.ts'
export type { LeaseHandler, LeaseOptions } from './http/lease/lease.ts'
export type {
  Completer,
  CompleterCall,
  CompleterHandler,
  CompleterOptions,
  CompletionReport,
} from './http/lease/completer.ts'
export type { LeaseCall } from './http/lease/attempt.ts'
export type { Reconcile } from './http/lease/reconcile.ts'
export type {
  LeasedKey,
  KeyName,
  LeaseClaim,
  LeaseClaimResult,
  LeaseExpiryPolicy,
  LeaseStore,
  Recovery,
  Retention,
  UnresolvedKey,
} from './http/lease/stores/lease-store.ts'
export type { KeyRecord, StoredResponse } from './http/key-record.ts'
export type { IdempotencyOptions, PepperRotation, RetentionOptions } from './http/options.ts'
export type { EncryptionOptions } from './http/body-cipher.ts'
export type { OperationOptions, ReplayedRecord } from './http/prepare.ts'
export type { HandlerResponse, HttpRequest, HttpResponse, IdempotentOperation } from './http/http.ts'
export type { ProblemCode } from './http/problem.ts'

export { idempotentFetch } from './frameworks/fetch.ts'
export { openApiFragments } from './http/openapi.ts'
export type { OpenApiFragments, OpenApiOptions } from './http/openapi.ts'

// Forgetting
export { maintainInbox } from './inbox/retention.ts'
export type { InboxRetentionOptions, InboxRetentionReport } from './inbox/retention.ts'
export { purgeIdempotencyKeys } from './http/key-retention.ts'
export type { KeyRetention, PurgeOptions } from './http/key-retention.ts'
export { startRetention } from './database/retention-job.ts'
export type { RetentionJob, RetentionJobOptions } from './database/retention-job.ts'

// Failing and seeing
export { IdempotencyError } from './errors.ts'
export type { IdempotencyErrorCode } from './errors.ts'
export type { IdempotencyEvent, InboxEvent, RequestOutcome } from './events.ts'

// The database
export { migrateIdempotency } from './migrate.ts'
export type {
  Database,
  IsolationLevel,
  KyselyDatabase,
  PgPool,
  PooledClient,
  TransactionOf,
} from './database/transaction.ts'
