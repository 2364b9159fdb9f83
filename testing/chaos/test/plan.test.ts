import { describe, expect, it } from 'vitest'
import { consumerOutages, faultKinds, onlyByName, planFaults, soakedApart } from '../plan.ts'

const options = { seconds: 120, leaseMs: 3_000, kinds: faultKinds, everyMs: 2_500, outageMs: null }

describe('a plan of faults', () => {
  it('is the same for the same seed and another for another', () => {
    expect(planFaults({ ...options, seed: 1 })).toEqual(planFaults({ ...options, seed: 1 }))
    expect(planFaults({ ...options, seed: 1 })).not.toEqual(planFaults({ ...options, seed: 2 }))
  })

  it('has every kind of fault before it has one again', () => {
    const kinds = planFaults({ ...options, seed: 3 }).map(({ kind }) => kind)

    expect(new Set(kinds.slice(0, faultKinds.length))).toEqual(new Set(faultKinds))
  })

  it('names a point for a kill at a failpoint and pauses for twice the lease', () => {
    for (const fault of planFaults({ ...options, seconds: 600, seed: 4 })) {
      expect(fault.point === null).toBe(!fault.kind.endsWith('-at-failpoint'))
      if (fault.kind === 'pause-relay') expect(fault.forMs).toBe(6_000)
    }
  })
})

it('a soak has every kind of fault', () => {
  const always = faultKinds.filter((kind) => !onlyByName.includes(kind))

  expect(new Set([...always, ...consumerOutages, ...soakedApart.flat()])).toEqual(new Set(faultKinds))
})
