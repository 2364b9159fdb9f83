import { describe, expect, it } from 'vitest'
import { Backlog } from '../../src/relay/backlog.ts'
import { createFloor } from '../../src/relay/floor.ts'
import { Lanes } from '../../src/relay/lanes.ts'
import { aBuffered, seqsOf } from './a-buffered.ts'

function aBacklog(): Backlog {
  const lanes = new Lanes()
  lanes.add(0, 1)
  for (const lane of lanes.all()) lane.isReady = true
  return new Backlog(lanes, createFloor(1_000))
}

describe('the backlog', () => {
  it('takes nothing of a topic from a read during which it was suspended: a message may be missing in it', () => {
    const backlog = aBacklog()
    backlog.add(aBuffered(1, 'a'))
    const batch = backlog.take(10)
    backlog.beginRead([0]) // Leaves out 1, which is in flight.
    backlog.suspend('t', 'unavailable')
    backlog.end(batch, { failed: [], returned: batch }) // 1 goes back to the table.
    backlog.resume('t', 'unavailable')

    expect(backlog.add(aBuffered(2, 'a'))).toBe(false)
    backlog.beginRead([0])
    expect([1, 2].map((seq) => backlog.add(aBuffered(seq, 'a')))).toEqual([true, true])
    expect(seqsOf(backlog.take(10))).toEqual([1, 2])
  })

  it.each([false, true])(
    'drops what was rejected behind a message that is replayed, also where its order was blocked before (%s)',
    (wasBlocked) => {
      const backlog = aBacklog()
      const row = (seq: number) => ({ lane: 0, order: 'a', seq, held: false })
      const [first, second] = [
        aBuffered(1, 'a', { hasWaited: wasBlocked }),
        aBuffered(2, 'a', { hasWaited: wasBlocked }),
      ]
      if (wasBlocked) backlog.addWaiting(first)
      else backlog.add(first)
      const batch = backlog.take(10)
      backlog.end(batch, { failed: [], returned: batch })
      backlog.reloadBlocks(backlog.beginReload(), [0], [row(0)])
      expect(backlog.take(10)).toEqual([])

      backlog.addWaiting(aBuffered(0, 'a', { hasWaited: true }))
      expect(seqsOf(backlog.take(10))).toEqual([0])
      expect(backlog.add(second)).toBe(false)
    },
  )
})
