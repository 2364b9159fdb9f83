import { describe, expect, it } from 'vitest'
import { Lanes } from '../../src/relay/lanes.ts'

/** One lane with a backlog up to seq 10, taken over at 0 ms after so many deaths in a row. */
function lanesAfter(crashes: number): Lanes {
  const lanes = new Lanes()
  lanes.add(0, 1, { crashes, backlogEnd: 10, acquiredAtMs: 0 })
  return lanes
}
const calmAt = (lanes: Lanes, nowMs: number, isThrough: boolean): number[] =>
  lanes.calm(nowMs, () => isThrough).map(({ lane }) => lane)

describe('a lane', () => {
  it('is read and sent from while it is owned, its blocks are known, and it is not leaving', () => {
    const lanes = new Lanes()
    lanes.add(0, 1)
    const lane = lanes.get(0)
    const isActive = (): boolean[] => [lanes.isActive(0), lanes.active().length === 1]
    if (lane === undefined) throw new Error('a lane that was added is there')

    expect(isActive()).toEqual([false, false])
    lane.isReady = true
    expect(isActive()).toEqual([true, true])
    lane.isLeaving = true
    expect(isActive()).toEqual([false, false])
    expect(lanes.isActive(1)).toBe(false)
  })
})

describe('a lane whose former owners died', () => {
  it('is under suspicion from the second death on, as far as its backlog goes', () => {
    expect(lanesAfter(1).isSuspected(0, 1)).toBe(false)
    expect(lanesAfter(2).isSuspected(0, 10)).toBe(true)
    expect(lanesAfter(2).isSuspected(0, 11)).toBe(false)
  })

  it('is forgiven when its backlog is through, but not before a message that is due again can have been read', () => {
    expect(calmAt(lanesAfter(2), 4_999, true)).toEqual([])
    expect(calmAt(lanesAfter(2), 5_000, true)).toEqual([0])
    expect(calmAt(lanesAfter(2), 5_000, false)).toEqual([])
  })

  it('is forgiven after a minute whatever still lies in it, so that no backlog is slow for long', () => {
    expect(calmAt(lanesAfter(2), 60_000, false)).toEqual([0])
  })

  it('is not written to again once it is forgiven', () => {
    expect(calmAt(lanesAfter(0), 60_000, true)).toEqual([])
  })
})
