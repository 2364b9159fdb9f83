/**
 * Amazon SQS and SNS for the outbox: publishers for both, and a consumer of SQS queues.
 *
 * @packageDocumentation
 */
export { createSqsPublisher } from './publisher.ts'
export { createSqsConsumer } from './consumer.ts'
export { deadLetterAttribute } from './dead-letter.ts'
export type { DeadLetterNote } from './dead-letter.ts'
export { createSnsPublisher } from './sns-publisher.ts'
export type {
  BatchPublisherOptions,
  Destinations,
  SnsPublisherOptions,
  SqsConsumerOptions,
  SqsPublisherOptions,
} from './options.ts'
