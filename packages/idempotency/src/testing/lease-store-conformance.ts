import { claimingCases } from './lease-store-conformance/claiming.ts'
import { completingCases } from './lease-store-conformance/completing.ts'
import { fencingCases } from './lease-store-conformance/fencing.ts'
import { namingCases } from './lease-store-conformance/naming.ts'
import { givingCases, resolvingCases } from './lease-store-conformance/resolving.ts'
import type { Case } from './lease-store-conformance/steps.ts'

export type { LeaseStoreHarness } from './lease-store-conformance/steps.ts'

/** What every store of lease mode must do. Run each against a real server. */
export const leaseStoreConformance: readonly Case[] = [
  ...claimingCases,
  ...completingCases,
  ...fencingCases,
  ...namingCases,
  ...givingCases,
  ...resolvingCases,
]
