// The packages under test, by path: as dependencies they would close a circle, because their own tests depend on this one.
export {
  createDeadLetters,
  createHeldKeys,
  createOutbox,
  createRelay,
  createTopics,
  cutOff,
  migrate,
  PermanentFailure,
  PublishOutageError,
} from '../../packages/outbox-core/src/index.ts'
export type {
  Consumer,
  ConsumerEvent,
  DeliveryHandler,
  OutboxMessage,
  Publisher,
  PublishResult,
  RelayClient,
  RelayEvent,
  RelayOptions,
  RelayPool,
} from '../../packages/outbox-core/src/index.ts'
export { predecessorFailed, systemClock } from '../../packages/outbox-core/src/adapter/index.ts'
export type { Clock } from '../../packages/outbox-core/src/adapter/index.ts'
export { createInbox, migrateIdempotency } from '../../packages/idempotency/src/index.ts'
export type { Inbox } from '../../packages/idempotency/src/index.ts'
