/**
 * Transactional outbox for PostgreSQL: messages are added in the caller's transaction and relayed at least once, in order
 * per key.
 *
 * @packageDocumentation
 */

// Adding
export { createOutbox } from './outbox.ts'
export type { AddStatement, Outbox, OutboxOptions } from './outbox.ts'
export { defineCatalog, schemaIn, validatePayload } from './catalog.ts'
export type { Catalog, MessageDefinition, MessageOf, PayloadInputOf, PayloadOf } from './catalog.ts'
export type { InputOf, OutputOf, StandardIssue, StandardResult, StandardSchemaV1 } from './standard-schema.ts'
export { streamOf } from './message.ts'
export type { MessageId, NewMessage, OutboxMessage } from './message.ts'
export { isUuid, uuidv7 } from './uuid.ts'

// Publishing and consuming: the contracts adapters fulfil
export type {
  DestinationFailure,
  MessageFailure,
  PublishFailure,
  PublishResult,
  PublishRoute,
  Publisher,
} from './publisher.ts'
export { createRoutingPublisher } from './routing-publisher.ts'
export type { Route } from './routing-publisher.ts'
export type {
  Consumer,
  ConsumerEvent,
  ConsumerOptions,
  Delivery,
  DeliveryHandler,
  ForeignMessage,
  PauseReason,
} from './consumer.ts'
export type { DeadLetterReason, RelayDeadLetterReason } from './dead-letter-reason.ts'
export type { ReceivedMessage } from './received-message.ts'

export { createConsumerStore } from './consumer-store.ts'
export type {
  ConsumerStore,
  ConsumerStoreOptions,
  MessageHistory,
  ReleasedStream,
  StreamedMessage,
} from './consumer-store.ts'
export { createHeldStreams } from './held-streams.ts'
export type { HeldStream, HeldStreams } from './held-streams.ts'

export { deadLetterHeader, readDeadLetterNote } from './dead-letter-note.ts'
export type { DeadLetterNote } from './dead-letter-note.ts'

export { inBatches } from './in-batches.ts'
export type { InBatchesOptions } from './in-batches.ts'
export type { StreamBatches, StreamBatchesOptions, StreamBatchFunction, StreamHandler } from './stream-handler.ts'

export { shardOf } from './shard-of.ts'

// Relaying
export { createRelay } from './relay/relay.ts'
export type { Relay, RelayReport } from './relay/relay.ts'
export type { RelayOptions } from './relay/relay-options.ts'
export type { RelayClient, RelayPool } from './postgres/connections.ts'
export type { MaintenanceOptions, MaintenanceTask } from './relay/maintenance-options.ts'
export { systemClock } from './clock.ts'
export type { Clock } from './clock.ts'

// Deciding about what failed
export { createDeadLetters } from './dead-letters.ts'
export type {
  AttemptFailure,
  DeadLetter,
  DeadLetterDetail,
  DeadLetterFilter,
  DeadLetters,
  DeadLettersOptions,
  Decision,
} from './dead-letters.ts'
export { explainReplay } from './explain-replay.ts'
export type { ReplayExplanation } from './explain-replay.ts'
export { createHeldKeys } from './held-keys.ts'
export type { HeldKey, HeldKeys } from './held-keys.ts'
export { createTopics } from './topics.ts'
export type { PausedTopic, Steering, Topics } from './topics.ts'
export { listOperatorActions } from './operator-actions.ts'
export type { OperatorAction } from './operator-actions.ts'
export { findMessages } from './find-messages.ts'
export type { FoundMessage, MessageFilter, MessageState } from './find-messages.ts'

// Failing
export { exponentialBackoff } from './backoff.ts'
export type { Backoff, ExponentialBackoffOptions } from './backoff.ts'
export { HandlerOutageError, OutboxError, PermanentFailure, PublishOutageError, UnknownTypeError } from './errors.ts'
export { isOutage } from './is-outage.ts'
export type { OutboxErrorCode } from './errors.ts'

// Seeing
export { logEvents } from './log-events.ts'
export type { EventLogger } from './log-events.ts'
export { prometheusText } from './prometheus.ts'
export type { RelayConfig } from './process/config.ts'
export type { RelayEvent } from './events.ts'

export { outboxStatus } from './status.ts'
export type { DeadLetterGroup, FailureGroup, OutageStatus, OutboxStatus, RelayStatus, TopicStatus } from './status.ts'
export { cutOff } from './cut-off.ts'
export type { CutOff, CutOffOptions, LeftMessages, OpenTransaction } from './cut-off.ts'
export { diagnose } from './doctor.ts'
export type { DoctorLimits, DiagnoseOptions, Finding, MigrateIdempotency } from './doctor.ts'

// The database
export { grantStatements } from './postgres/grants.ts'
export type { RolePurpose } from './postgres/grants.ts'
export { kyselyMigrations } from './postgres/kysely-migrations.ts'
export type { KyselyMigration, KyselyMigrations } from './postgres/kysely-migrations.ts'
export { migrate, migrationScript } from './postgres/migrate.ts'
export type { MigrateOptions, Migration, MigrationClient, MigrationPool } from './postgres/migrate.ts'
export type { KyselyTransaction, OutboxTransaction, PgClient, Queryable } from './postgres/queryable.ts'
