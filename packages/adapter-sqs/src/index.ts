/**
 * Amazon SQS for the outbox: a publisher and a consumer, for standard and FIFO queues.
 *
 * @packageDocumentation
 */
export { createSqsPublisher } from './publisher.ts'
export { createSqsConsumer } from './consumer.ts'
export type { BatchPublisherOptions, Destinations, SqsConsumerOptions, SqsPublisherOptions } from './options.ts'
export { createLambdaHandler } from './lambda-handler.ts'
export type { LambdaHandlerOptions, SqsLambdaEvent, SqsLambdaRecord, SqsLambdaResponse } from './lambda-handler.ts'
export { deadLetterNoteOf } from './dead-letter.ts'
export { redriveDeadLetters } from './redrive.ts'
export type { SqsRedriveOptions } from './redrive.ts'
export type { RedriveReport } from '@malote/outbox-core/adapter'
