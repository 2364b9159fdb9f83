import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createProgress } from '../src/progress.ts'

describe('progress through a partition', () => {
  it('nothing taken or nothing finished leaves nothing to commit', () => {
    const progress = createProgress()
    progress.take(5n)

    expect(progress.finished).toBe(null)
    expect(progress.next).toBe(6n)
  })

  it('what is finished behind an open offset waits for it', () => {
    const progress = createProgress()
    for (const offset of [5n, 6n, 9n]) progress.take(offset)

    progress.finish(6n)
    const before = progress.finished
    progress.finish(5n)

    expect(before).toBe(null)
    expect(progress.finished).toBe(7n)
    expect(progress.open).toBe(1)
  })

  it('in whatever order offsets finish, everything before the position is finished', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(200), { minLength: 1 }), fc.integer(), (offsets, seed) => {
        const taken = offsets.toSorted((a, b) => a - b).map(BigInt)
        const progress = createProgress()
        for (const offset of taken) progress.take(offset)
        const done = new Set<bigint>()
        for (const offset of taken.toSorted(
          (a, b) => Number((a * BigInt(seed)) % 7n) - Number((b * BigInt(seed)) % 7n),
        )) {
          done.add(offset)
          progress.finish(offset)
          const gap = taken.find((each) => !done.has(each))
          const last = taken.findLast((each) => gap === undefined || each < gap)
          expect(progress.finished).toBe(last === undefined ? null : last + 1n)
        }
        expect(progress.open).toBe(0)
      }),
    )
  })
})
