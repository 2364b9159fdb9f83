/**
 * For authors of stores: the cases every store of lease mode must pass, as data for any test runner.
 *
 * @packageDocumentation
 */
export { leaseStoreConformance } from './lease-store-conformance.ts'
export type { LeaseStoreHarness } from './lease-store-conformance.ts'
