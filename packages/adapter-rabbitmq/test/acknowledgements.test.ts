import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Acknowledgement, createAcknowledgements } from '../src/acknowledgements.ts'

/** Acknowledgements of which deliveries 1 to `count` are the first to have come. */
function after(count: number, ...settled: readonly number[]): readonly Acknowledgement[] {
  const acknowledgements = createAcknowledgements()
  for (let tag = 1; tag <= count; tag++) acknowledgements.delivered(tag)
  for (const tag of settled) acknowledgements.settled(tag)
  return acknowledgements.take()
}

describe('acknowledgements', () => {
  it('are one for all deliveries that are settled without a gap, in whatever order they were', () => {
    expect(after(4, 3, 1, 2)).toEqual([{ tag: 3, allUpTo: true }])
  })

  it('name each delivery behind one that is still in hand alone', () => {
    expect(after(4, 2, 4)).toEqual([
      { tag: 2, allUpTo: false },
      { tag: 4, allUpTo: false },
    ])
  })

  it('are taken once', () => {
    const acknowledgements = createAcknowledgements()
    acknowledgements.delivered(1)
    acknowledgements.settled(1)
    acknowledgements.settled(1)
    acknowledgements.take()
    acknowledgements.settled(1)

    expect(acknowledgements.take()).toEqual([])
  })

  it('tell a broker of every settled delivery once and of no other, whatever the order', () => {
    const step = fc.oneof({ weight: 3, arbitrary: fc.nat(30) }, { weight: 1, arbitrary: fc.constant(null) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const acknowledgements = createAcknowledgements()
        const unacknowledged = new Set<number>()
        const settled = new Set<number>()
        const told: number[] = []
        let last = 0
        const deliver = (): void => {
          acknowledgements.delivered(++last)
          unacknowledged.add(last)
        }
        const tell = (): void => {
          for (const { tag, allUpTo } of acknowledgements.take()) {
            // What a broker makes of it: an unknown tag closes the channel.
            expect(unacknowledged).toContain(tag)
            const meant = [...unacknowledged].filter((one) => one === tag || (allUpTo && one < tag))
            told.push(...meant)
            for (const one of meant) unacknowledged.delete(one)
          }
        }
        for (const one of steps) {
          deliver()
          if (one === null) tell()
          else if (one >= 1 && one <= last) {
            acknowledgements.settled(one)
            settled.add(one)
          }
        }
        tell()
        expect(told.toSorted((a, b) => a - b)).toEqual([...settled].toSorted((a, b) => a - b))
      }),
    )
  })
})
