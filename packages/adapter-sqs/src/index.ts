/**
 * Amazon SQS for the outbox: a publisher and a consumer, for standard and FIFO queues.
 *
 * @packageDocumentation
 */
export { createSqsPublisher } from './publisher.ts'
export { createSqsConsumer } from './consumer.ts'
export type { BatchPublisherOptions, Destinations, SqsConsumerOptions, SqsPublisherOptions } from './options.ts'
