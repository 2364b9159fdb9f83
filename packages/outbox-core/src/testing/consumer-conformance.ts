import type { ConformanceCase } from './conformance.ts'
import { acknowledgingCases } from './consumer-conformance/acknowledging.ts'
import { failingCases } from './consumer-conformance/failing.ts'
import type { ConsumerHarness } from './consumer-conformance/harness.ts'
import { letterCases } from './consumer-conformance/letters.ts'
import { lifecycleCases } from './consumer-conformance/lifecycle.ts'
import { outageCases } from './consumer-conformance/outages.ts'
import { holdCases } from './consumer-conformance/holds.ts'
import { poisonCases } from './consumer-conformance/poison.ts'
import { redriveCases } from './consumer-conformance/redrive.ts'
import { orderCases } from './consumer-conformance/order.ts'
import { streamCases } from './consumer-conformance/streams.ts'

export type { ConsumerHarness, HeldDeadLetter } from './consumer-conformance/harness.ts'

/** What every consumer must do, checked against a real broker. */
export const consumerConformance: readonly ConformanceCase<ConsumerHarness>[] = [
  ...failingCases,
  ...outageCases,
  ...orderCases,
  ...streamCases,
  ...poisonCases,
  ...holdCases,
  ...letterCases,
  ...redriveCases,
  ...lifecycleCases,
  ...acknowledgingCases,
]
