/**
 * For tests of applications and adapters: an in-memory broker, a clock with hands, and the conformance kits.
 *
 * @packageDocumentation
 */
export { createManualClock } from './manual-clock.ts'
export type { ManualClock } from './manual-clock.ts'
