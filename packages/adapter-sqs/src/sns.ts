/**
 * Amazon SNS for the outbox: one topic, many queues. An entry of its own, so that SQS alone needs no SNS client installed.
 *
 * @packageDocumentation
 */
export { createSnsPublisher } from './sns-publisher.ts'
export type { SnsPublisherOptions } from './sns-publisher.ts'
export type { BatchPublisherOptions, Destinations } from './options.ts'
