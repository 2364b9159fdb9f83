/**
 * For tests of applications and adapters: an in-memory broker, a clock with hands, and the conformance kits.
 *
 * @packageDocumentation
 */
export { createManualClock } from './manual-clock.ts'
export type { ManualClock } from './manual-clock.ts'
export { aMessageInHand, aReceivedMessage } from './a-message-in-hand.ts'
export { anOutboxMessage } from './an-outbox-message.ts'
export { eventually } from './eventually.ts'
export type { EventuallyOptions } from './eventually.ts'
export { formatConformance, runConformance, runConformanceCase, splitConformance } from './conformance.ts'
export type { Absences, ConformanceCase, ConformanceResult } from './conformance.ts'
export { publisherConformance } from './publisher-conformance.ts'
export type { PublishedRecord, PublisherHarness } from './publisher-conformance.ts'
export { hostileResults } from './hostile-results.ts'
export type { HostileResult } from './hostile-results.ts'
export { consumerConformance } from './consumer-conformance.ts'
export type { ConsumerHarness, HeldDeadLetter } from './consumer-conformance.ts'
export { clientConformance } from './client-conformance.ts'
export type { ClientHarness } from './client-conformance.ts'
export { createMemoryBroker } from './memory-broker.ts'
export type { MemoryBroker } from './memory-broker.ts'
export { createRecordingObserver } from './recording-observer.ts'
export type { EventOf, RecordingObserver } from './recording-observer.ts'
