import type { ConformanceCase } from './conformance.ts'
import type { PublisherHarness } from './publisher-conformance/harness.ts'
import { lifecycleCases } from './publisher-conformance/lifecycle.ts'
import { orderCases } from './publisher-conformance/order.ts'
import { outageCases } from './publisher-conformance/outages.ts'
import { payloadCases } from './publisher-conformance/payloads.ts'
import { resultCases } from './publisher-conformance/results.ts'

export type { PublishedRecord, PublisherHarness } from './publisher-conformance/harness.ts'

/**
 * What every publisher must do, checked against a real broker. Cases that stop the broker come last, so that a broker which
 * does not come back spoils no other result.
 */
export const publisherConformance: readonly ConformanceCase<PublisherHarness>[] = [
  ...resultCases,
  ...orderCases,
  ...payloadCases,
  ...lifecycleCases,
  ...outageCases,
]
