/**
 * What every adapter needs, so that all of them carry the same attributes, keep the same order and classify failures alike.
 * See docs/writing-an-adapter.md.
 *
 * @packageDocumentation
 */
export { resolveConsumerOptions } from './consumer-settings.ts'
export type { ResolvedConsumerOptions } from './consumer-settings.ts'
export { createMessageProcessor } from './process-message.ts'
export type { MessageProcessor } from './process-message.ts'
export { DeadLetterTooLargeError, receivedOf } from './message-in-hand.ts'
export type { DeadLetter, DeadLetterForm, MessageEnd, MessageInHand, Received } from './message-in-hand.ts'
export { deadLetterHeader, encodeDeadLetterNote, maxNoteBytes } from '../dead-letter-note.ts'
export type { DeadLetterNote } from '../dead-letter-note.ts'
export { decodeEnvelope, encodeAttributes, encodeEnvelope } from './envelope.ts'
export type { EnvelopeOptions } from './envelope.ts'
export { decodeForeign } from './foreign-message.ts'
export { isReservedHeader } from '../reserved-headers.ts'
export { aborted, connectionLost, createPublisher, predecessorFailed, startsOnce, tooLarge } from './publishing.ts'
export type { PublisherParts } from './publishing.ts'
export { batchResults } from './batch-results.ts'
export type { BatchResults } from './batch-results.ts'
export { createMessagePublisher } from './message-publisher.ts'
export type { MessagePublisherOptions } from './message-publisher.ts'
export { createRedriveCount } from './redrive.ts'
export type { RedriveCount, RedriveOptions, RedriveReport } from './redrive.ts'
export { createKeyedQueue } from './keyed-queue.ts'
export type { KeyedQueue } from './keyed-queue.ts'
export { reportTo } from './report.ts'
export { systemClock } from '../clock.ts'
export type { Clock } from '../clock.ts'
export { invalidOption, numberOption } from '../options.ts'
export { within } from './within.ts'
