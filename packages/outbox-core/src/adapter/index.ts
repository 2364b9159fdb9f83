/**
 * What every adapter needs, so that all of them carry the same attributes, keep the same order and classify failures alike.
 * See docs/writing-an-adapter.md.
 *
 * @packageDocumentation
 */
export { deliver, outcomeOf, resolveConsumerOptions } from './deliver.ts'
export type { DeliveryOutcome, ResolvedConsumerOptions } from './deliver.ts'
export { decodeEnvelope, encodeAttributes, encodeEnvelope } from './envelope.ts'
export type { EnvelopeOptions } from './envelope.ts'
export { createKeyedQueue } from './keyed-queue.ts'
export type { KeyedQueue } from './keyed-queue.ts'
export { reportTo } from './report.ts'
export { systemClock } from '../clock.ts'
export type { Clock } from '../clock.ts'
export { invalidOption, numberOption } from '../options.ts'
