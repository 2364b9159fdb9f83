/**
 * For authors of stores and entry points: the cases every store of lease mode, and every server, must pass, as data for any
 * test runner.
 *
 * @packageDocumentation
 */
export { leaseStoreConformance } from './lease-store-conformance.ts'
export type { LeaseStoreHarness } from './lease-store-conformance.ts'
export { hostileClientConformance } from './hostile-client.ts'
export type { HostileClientHarness } from './hostile-client.ts'
