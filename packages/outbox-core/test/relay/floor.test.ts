import { describe, expect, it } from 'vitest'
import { createFloor } from '../../src/relay/floor.ts'
import { runFloor } from './floor-model.ts'

const everything = (): number => Number.POSITIVE_INFINITY

describe('the floor', () => {
  it.each([
    ['young transactions only', { oldAfter: 1_000_000, limit: 1_000 }],
    ['young transactions and small reads', { oldAfter: 1_000_000, limit: 3 }],
    ['transactions left behind', { oldAfter: 4, limit: 1_000 }],
    ['transactions left behind and small reads', { oldAfter: 4, limit: 3 }],
    ['transactions that stay open for long', { oldAfter: 10, limit: 5, endsInTen: 1 }],
  ])('loses nothing and keeps keys in order in random histories: %s', (_name, options) => {
    let published = 0
    for (let seed = 1; seed <= 600; seed++) {
      const run = runFloor({ ...options, seed })
      expect({ seed, lost: run.lost, inversions: run.inversions }).toEqual({ seed, lost: [], inversions: [] })
      published += run.published
    }
    expect(published).toBeGreaterThan(10_000)
  })

  it('follows what is drawn at two barriers distance while nobody writes', () => {
    const floor = createFloor(1_000)
    floor.addLane(7)
    floor.noteBarrier({ drawn: 50, holders: [] })
    floor.noteBarrier({ drawn: 60, holders: [] })

    floor.beginRead()
    expect(floor.finishRead([7], everything)).toBe(true)

    expect(floor.of(7)).toBe(50)
  })

  it('stays below a transaction that is open, and passes one that stays open too long', () => {
    const floor = createFloor(100)
    floor.addLane(7)
    for (const drawn of [10, 10, 10]) floor.noteBarrier({ drawn, holders: [] })
    floor.noteBarrier({ drawn: 60, holders: ['3/1'] })
    floor.noteBarrier({ drawn: 70, holders: ['3/1'] })
    floor.beginRead()
    floor.finishRead([7], everything)
    expect(floor.of(7)).toBe(10)

    for (const drawn of [500, 600]) floor.noteBarrier({ drawn, holders: ['3/1'] })
    floor.beginRead()
    expect(floor.needsConfirmation).toBe(true)
    floor.noteBarrier({ drawn: 610, holders: ['3/1'] })
    expect(floor.finishRead([7], everything)).toBe(true)
    expect(floor.of(7)).toBe(500)

    floor.beginRead()
    floor.noteBarrier({ drawn: 620, holders: [] })
    expect(floor.finishRead([7], everything)).toBe(false)
    expect(floor.of(7)).toBe(10)
  })

  it('is not raised over a rewind that came while a read was running', () => {
    const floor = createFloor(1_000)
    floor.addLane(7)
    for (const drawn of [50, 50]) floor.noteBarrier({ drawn, holders: [] })

    floor.beginRead()
    floor.rewind(7, 20)
    floor.finishRead([7], everything)

    expect(floor.of(7)).toBe(19)
  })

  it('starts from nothing for a lane that left and came back while a read was running', () => {
    const floor = createFloor(1_000)
    floor.addLane(7)
    for (const drawn of [50, 50]) floor.noteBarrier({ drawn, holders: [] })

    floor.beginRead()
    floor.removeLane(7)
    floor.addLane(7)
    floor.finishRead([7], everything)

    expect(floor.of(7)).toBe(0)
  })
})
