import { describe, expect, it } from 'vitest'
import { textsOf } from '../../src/postgres/array-literal.ts'
import { Backlog } from '../../src/relay/backlog.ts'
import { createFloor, type Floor } from '../../src/relay/floor.ts'
import { Lanes } from '../../src/relay/lanes.ts'
import { pausedByOperator } from '../../src/relay/suspensions.ts'
import { aBuffered, seqsOf } from './a-buffered.ts'
import { raiseFloor } from './raise-floor.ts'
import { shownBlocks } from './shown-blocks.ts'

function aBacklogWithFloor(): { backlog: Backlog; floor: Floor } {
  const lanes = new Lanes()
  lanes.add(0, 1)
  for (const lane of lanes.all()) lane.isReady = true
  const floor = createFloor(1_000)
  floor.addLane(0)
  return { backlog: new Backlog(lanes, floor), floor }
}

const aBacklog = (): Backlog => aBacklogWithFloor().backlog

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
    'drops what was rejected behind a message that is replayed, also where its stream was blocked before (%s)',
    (wasBlocked) => {
      const backlog = aBacklog()
      const row = (seq: number) => ({ lane: 0, stream: 'a', seq, unread: seq, held: false })
      const [first, second] = [
        aBuffered(1, 'a', { hasWaited: wasBlocked }),
        aBuffered(2, 'a', { hasWaited: wasBlocked }),
      ]
      if (wasBlocked) backlog.addWaiting(first)
      else backlog.add(first)
      const batch = backlog.take(10)
      backlog.end(batch, { failed: [], returned: batch })
      backlog.reloadBlocks(backlog.beginReload(), [0], shownBlocks(row(0)))
      expect(backlog.take(10)).toEqual([])

      backlog.addWaiting(aBuffered(0, 'a', { hasWaited: true }))
      expect(seqsOf(backlog.take(10))).toEqual([0])
      expect(backlog.add(second)).toBe(false)
    },
  )

  describe('reads again, when a stream goes on, what was committed late below the message that blocked it:', () => {
    const row = (seq: number, held = false) => ({ lane: 0, stream: 'a', seq, unread: seq, held })
    const goOn = (backlog: Backlog): void => backlog.reloadBlocks(backlog.beginReload(), [0], [])

    it('what a read showed that began before', () => {
      const { backlog, floor } = aBacklogWithFloor()
      backlog.beginRead([0])
      backlog.reloadBlocks(backlog.beginReload(), [0], shownBlocks(row(8)))
      expect(backlog.add(aBuffered(5, 'a'))).toBe(false)
      raiseFloor(floor, 20)

      goOn(backlog)

      expect(floor.of(0)).toBe(4)
    })

    it('what was in flight and came back', () => {
      const { backlog, floor } = aBacklogWithFloor()
      backlog.add(aBuffered(5, 'a'))
      const batch = backlog.take(10)
      raiseFloor(floor, 20)
      backlog.reloadBlocks(backlog.beginReload(), [0], shownBlocks(row(8)))
      backlog.end(batch, { failed: [], returned: batch })

      goOn(backlog)

      expect(floor.of(0)).toBe(4)
    })

    it('what waited in memory', () => {
      const { backlog, floor } = aBacklogWithFloor()
      backlog.add(aBuffered(8, 'a'))
      const batch = backlog.take(10)
      backlog.add(aBuffered(5, 'a'))
      raiseFloor(floor, 20)
      backlog.end(batch, { failed: batch, returned: [] })
      backlog.confirmed(batch)

      goOn(backlog)

      expect(floor.of(0)).toBe(4)
    })
  })

  it('does not send again what came back while an operator held its key, also where it had waited', () => {
    const { backlog } = aBacklogWithFloor()
    backlog.addWaiting(aBuffered(1, 'a', { hasWaited: true }))
    const batch = backlog.take(10)
    backlog.reloadBlocks(
      backlog.beginReload(),
      [0],
      shownBlocks({ lane: 0, stream: 'a', seq: 0, unread: null, held: true }),
    )

    expect(backlog.isClosedTo(batch, false)).toBe(true)
    backlog.end(batch, { failed: [], returned: batch })

    expect(backlog.take(10)).toEqual([])
    expect(backlog.addWaiting(aBuffered(1, 'a', { hasWaited: true }))).toBe(false)
  })

  it('tries no destination with a message whose topic was paused meanwhile', () => {
    const { backlog } = aBacklogWithFloor()
    backlog.suspend('t', 'unavailable')
    backlog.suspend('t', pausedByOperator)

    expect(backlog.takeProbe([aBuffered(1, 'a')], 1_000)).toEqual([])
    backlog.resume('t', pausedByOperator)
    expect(seqsOf(backlog.takeProbe([aBuffered(1, 'a')], 1_000))).toEqual([1])
  })

  it('tries no destination with a message before which one went back to the table while the sample was read', () => {
    const backlog = aBacklog()
    backlog.add(aBuffered(1, 'a'))
    const batch = backlog.take(10)
    backlog.suspend('t', 'unavailable')
    backlog.beginAsking() // Leaves out 1, which is in flight: the first of its stream is 2.
    backlog.end(batch, { failed: [], returned: batch })

    expect(seqsOf(backlog.takeProbe([aBuffered(2, 'a'), aBuffered(3, 'b')], 1_000))).toEqual([3])
    backlog.beginAsking()
    expect(seqsOf(backlog.takeProbe([aBuffered(1, 'a')], 1_000))).toEqual([1])
  })

  it('tries a destination with what there are bytes for in memory, and with one message when there are none', () => {
    const backlog = aBacklog()
    const samples = [2, 3, 4].map((seq) => aBuffered(seq, null, { bytes: 10 }))
    backlog.add(aBuffered(1, null, { bytes: 75 }))

    const fitting = backlog.takeProbe(samples, 100)
    expect(seqsOf(fitting)).toEqual([2, 3])
    expect(seqsOf(backlog.takeProbe([...samples.slice(2), aBuffered(5)], 100))).toEqual([4])
  })

  it('reads nothing that waits of a stream before what failed of it is written down', () => {
    const backlog = aBacklog()
    backlog.add(aBuffered(1, 'a'))
    const batch = backlog.take(10)
    backlog.end(batch, { failed: batch, returned: [] })
    expect(backlog.exclusions.closedStreams()).toBe('{"a"}')

    backlog.confirmed(batch)
    expect(backlog.exclusions.closedStreams()).toBe('{}')
  })

  it('keeps what waits behind a dead letter that holds its key, also before the blocks are loaded again', () => {
    const backlog = aBacklog()
    const [first, second] = [aBuffered(1, 'a', { hasWaited: true }), aBuffered(2, 'a', { hasWaited: true })]
    for (const message of [first, second]) backlog.addWaiting(message)
    const batch = backlog.take(1)
    backlog.end(batch, { failed: batch, returned: [] })
    const [older, old] = [backlog.beginReload(), backlog.beginReload()] // Their queries see no hold.
    backlog.confirmed(batch, batch)

    expect(textsOf(backlog.exclusions.closedStreams())).toEqual([first.stream])
    expect(backlog.addWaiting(second)).toBe(false)
    const shown = shownBlocks({ lane: 0, stream: 'a', seq: 1, unread: 1, held: false })
    for (const [begun, rows] of [
      [older, []],
      [old, shown],
      [old, []],
    ] as const) {
      backlog.reloadBlocks(begun, [0], rows)
      expect(backlog.addWaiting(second)).toBe(false)
    }

    // An operator released it, and nothing waits.
    backlog.reloadBlocks(backlog.beginReload(), [0], [])
    expect(backlog.blockedCount).toBe(0)
  })

  it('takes nothing that waited from a read during which something before it failed', () => {
    const backlog = aBacklog()
    backlog.add(aBuffered(1, 'a'))
    const batch = backlog.take(10)
    backlog.beginAsking() // Shows 2, which was replayed; 1 is in flight, and does not wait.
    backlog.end(batch, { failed: batch, returned: [] })

    expect(backlog.addWaiting(aBuffered(2, 'a', { hasWaited: true }))).toBe(false)
  })

  it('goes on to read what waits of a stream while something of it is under way, and tries no destination with that', () => {
    const backlog = aBacklog()
    backlog.addWaiting(aBuffered(1, 'a', { hasWaited: true }))
    const batch = backlog.take(1)
    const { exclusions } = backlog
    expect([exclusions.closedStreams(), exclusions.streamsNotToProbe(), exclusions.waitedSeqs]).toEqual([
      '{}',
      '{"a"}',
      '{1}',
    ])

    backlog.beginAsking() // Shows 2, behind 1.
    expect(backlog.addWaiting(aBuffered(2, 'a', { hasWaited: true }))).toBe(true)
    backlog.endAsking()
    expect(seqsOf(backlog.take(1))).toEqual([])

    backlog.end(batch, { failed: [], returned: batch })
    expect(seqsOf(backlog.take(10))).toEqual([1, 2])
  })

  it('says when all that had waited of a stream is through', () => {
    const backlog = aBacklog()
    for (const seq of [1, 2]) backlog.addWaiting(aBuffered(seq, 'a', { hasWaited: true }))
    for (const left of [true, false]) {
      const batch = backlog.take(1)
      backlog.end(batch, { failed: [], returned: [] })
      backlog.settled(batch)
      expect(backlog.hasWaited('a')).toBe(left)
    }
  })

  it('sends nothing that waited behind a message that was replayed since, and all that waited before it', () => {
    const backlog = aBacklog()
    for (const seq of [1, 3, 5]) backlog.addWaiting(aBuffered(seq, 'a', { hasWaited: true }))
    const batch = backlog.take(1)

    backlog.reloadBlocks(backlog.beginReload(), [0], shownBlocks({ lane: 0, stream: 'a', seq: 1, unread: 4 }))
    backlog.end(batch, { failed: [], returned: batch })

    expect(seqsOf(backlog.take(10))).toEqual([1, 3])
  })
})
