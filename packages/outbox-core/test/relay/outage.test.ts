import { describe, expect, it } from 'vitest'
import { type Piece, Outage } from '../../src/relay/outage.ts'
import type { BufferedMessage } from '../../src/relay/buffer.ts'
import { aBuffered, seqsOf } from './a-buffered.ts'

const none = (): readonly BufferedMessage[] => []
const range = (from: number, to: number): BufferedMessage[] =>
  Array.from({ length: to - from + 1 }, (_, n) => aBuffered(from + n))

function setup(pauses: (failures: number) => number = () => 100): {
  outage: Outage
  next: (nowMs: number, fresh?: readonly BufferedMessage[]) => Piece
} {
  const outage = new Outage(pauses)
  return {
    outage,
    next: (nowMs, fresh = []) => {
      const piece = outage.next(nowMs, () => fresh)
      if (piece === null) throw new Error('nothing may go')
      return piece
    },
  }
}

describe('an outage', () => {
  it('pauses everything, then sends one probe at a time, longer apart each time', () => {
    const { outage, next } = setup((failures) => failures * 100)
    expect(outage.rejected(next(0, range(1, 4)), 0)).toEqual({ kind: 'outage', retryInMs: 100, hasStarted: true })
    expect(outage.next(99, () => range(5, 6))).toBeNull()

    const probe = next(100)
    expect(outage.next(100, () => range(5, 6))).toBeNull()
    expect(outage.rejected(probe, 100)).toEqual({ kind: 'outage', retryInMs: 200, hasStarted: false })

    expect(outage.next(299, none)).toBeNull()
  })

  it('ends with the first batch that passes', () => {
    const { outage, next } = setup()
    outage.rejected(next(0, range(1, 4)), 0)

    expect(outage.passed(next(100), 150)).toBe(150)

    expect(outage.isOpen).toBe(false)
    expect(seqsOf(next(150).items)).toEqual([3, 4])
  })

  it('counts batches that were under way when it began as one failure', () => {
    const { outage, next } = setup((failures) => failures * 100)
    const pieces = [next(0, range(1, 2)), next(0, range(3, 4)), next(0, range(5, 6))]

    for (const piece of pieces) outage.rejected(piece, 10)

    expect(outage.retryAtMs).toBe(110)
  })

  it('never makes a message pay, however long it lasts', () => {
    const { outage, next } = setup()
    outage.rejected(next(0, range(1, 500)), 0)

    for (let round = 1; round < 200; round++) {
      const verdict = outage.rejected(next(round * 100, range(1_000, 1_010)), round * 100)
      expect(verdict.kind).toBe('outage')
    }
  })

  it('tries other messages in turn with what was rejected', () => {
    const { outage, next } = setup()
    outage.rejected(next(0, range(1, 1)), 0)

    const probes = [100, 200, 300].map((nowMs) => {
      const piece = next(nowMs, range(nowMs, nowMs))
      outage.rejected(piece, nowMs)
      return seqsOf(piece.items)[0]
    })

    expect(new Set(probes).size).toBeGreaterThan(1)
    expect(probes.some((seq) => seq !== undefined && seq >= 100)).toBe(true)
  })
})

describe('a batch that is rejected while others pass', () => {
  it.each([1, 2, 37, 64])(
    'is halved until its culprit (number %i of 64) is alone and pays, and no other',
    (culprit) => {
      const { outage } = setup()
      const paid: number[] = []
      const sent: number[] = []
      let fresh: readonly BufferedMessage[] = range(1, 64)
      for (let nowMs = 0; nowMs < 100_000 && sent.length < 63; nowMs += 100) {
        const piece = outage.next(nowMs, () => {
          const given = fresh
          fresh = []
          return given
        })
        if (piece === null) continue
        if (piece.items.some(({ seq }) => seq === culprit)) {
          const verdict = outage.rejected(piece, nowMs)
          if (verdict.kind === 'culprit') paid.push(verdict.message.seq)
        } else {
          outage.passed(piece, nowMs)
          sent.push(...seqsOf(piece.items))
        }
      }

      expect(sent.sort((a, b) => a - b)).toEqual(
        range(1, 64)
          .map(({ seq }) => seq)
          .filter((seq) => seq !== culprit),
      )
      expect(paid.every((seq) => seq === culprit)).toBe(true)
    },
  )

  it('keeps its orders in sequence when the first of them steps back', () => {
    const { outage, next } = setup()
    outage.rejected(next(0, [aBuffered(1, 'a'), aBuffered(2, 'b'), aBuffered(3, 'a')]), 0)
    outage.rejected(next(100), 100)
    outage.rejected(next(200), 200)

    const order: number[] = []
    for (let nowMs = 300; order.length < 3; nowMs += 100) {
      const piece = next(nowMs)
      order.push(...seqsOf(piece.items))
      outage.passed(piece, nowMs)
    }

    expect(order).toEqual([2, 1, 3])
  })

  it('gives back the messages of an order that is blocked meanwhile', () => {
    const { outage, next } = setup()
    outage.rejected(next(0, [aBuffered(1, 'a'), aBuffered(2, 'b'), aBuffered(3, 'a')]), 0)

    expect(seqsOf(outage.remove(({ order }) => order === 'a'))).toEqual([1, 3])

    expect([...outage.waitingOrders()]).toEqual(['b'])
  })
})
