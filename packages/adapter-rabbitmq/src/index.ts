/**
 * RabbitMQ for Malote: a publisher with confirms, a consumer with ordered, acknowledged handlers, and the queues they need.
 *
 * @packageDocumentation
 */
export { createRabbitmqConsumer } from './consumer.ts'
export { createRabbitmqPublisher } from './publisher.ts'
export type { RabbitmqConsumerOptions, RabbitmqPublisherOptions } from './options.ts'
export type { Connect } from './connection.ts'
export { openConfirmPort } from './confirm-port.ts'
export type { ChannelError, Confirm, ConfirmPort } from './confirm-port.ts'
export { openConnection } from './connection.ts'
export type { LiveConnection } from './connection.ts'
export type { EncodedMessage } from './encode.ts'
export { assertTopology, deadLetterQueueOf, retryQueueOf, shardedRoute, shardQueueOf } from './topology.ts'
export type { RabbitmqTopology, Route } from './topology.ts'
export { deadLetterNoteOf } from './dead-letter.ts'
export { redriveDeadLetters } from './redrive.ts'
export type { RabbitmqRedriveOptions } from './redrive.ts'
export type { RedriveReport } from '@malote/outbox-core/adapter'
