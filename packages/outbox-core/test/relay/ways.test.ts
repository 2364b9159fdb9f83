import { describe, expect, it } from 'vitest'
import { createFloor, type Floor } from '../../src/relay/floor.ts'
import { Lanes } from '../../src/relay/lanes.ts'
import { pausedByOperator } from '../../src/relay/suspensions.ts'
import { Ways } from '../../src/relay/ways.ts'
import { aBuffered } from './a-buffered.ts'
import { raiseFloor } from './raise-floor.ts'
import { shownBlocks } from './shown-blocks.ts'

function setup(): { ways: Ways; lanes: Lanes; floor: Floor } {
  const [lanes, floor] = [new Lanes(), createFloor(1_000)]
  lanes.add(0, 1)
  for (const lane of lanes.all()) lane.isReady = true
  floor.addLane(0)
  return { ways: new Ways(lanes, floor), lanes, floor }
}

const message = aBuffered(5, 'a')
const waited = aBuffered(5, 'a', { hasWaited: true })
const held = shownBlocks({ lane: 0, stream: 'a', seq: 0, unread: null, held: true })

describe('the way to a message is closed', () => {
  it('while its lane leaves', () => {
    const { ways, lanes } = setup()
    for (const lane of lanes.all()) lane.isLeaving = true

    expect([ways.isInTurn(message), ways.isOpen(message, true), ways.takesWaiting(waited)]).toEqual([
      false,
      false,
      false,
    ])
  })

  it('while an operator holds its stream', () => {
    const { ways } = setup()
    ways.reload(ways.beginReload(), [0], held)
    expect([message, waited].map((one) => ways.isInTurn(one))).toEqual([false, false])
    expect([ways.takesReady(message), ways.takesWaiting(waited)]).toEqual([false, false])

    ways.reload(ways.beginReload(), [0], [])
    expect([message, waited].map((one) => ways.isInTurn(one))).toEqual([true, true])
  })

  it('while one before it waits: what waited itself goes on from there', () => {
    const { ways } = setup()
    ways.fail('a', aBuffered(4, 'a'))
    expect([ways.isInTurn(waited), ways.takesReady(message)]).toEqual([false, false])

    ways.confirm(aBuffered(4, 'a'))
    expect(ways.blockBehind('a', aBuffered(4, 'a', { hasWaited: true }))).toBe(false)
    expect([ways.isInTurn(waited), ways.takesReady(message)]).toEqual([true, false])
  })

  it('while its topic is suspended, but to what tries the destination, unless an operator paused it', () => {
    const { ways } = setup()
    ways.suspend('t', 'unavailable')
    expect([false, true].map((isProbe) => ways.isOpen(message, isProbe))).toEqual([false, true])

    ways.suspend('t', pausedByOperator)
    expect([false, true].map((isProbe) => ways.isOpen(message, isProbe))).toEqual([false, false])
    expect([ways.resume('t', pausedByOperator), ways.resume('t', 'unavailable')]).toEqual([false, true])
    expect(ways.isOpen(message, false)).toBe(true)
  })
})

describe('a way that opens sends the floor back', () => {
  it.each([
    ['to what a read may have passed by', (ways: Ways) => ways.beginRead([0]), 0],
    ['to what was not taken from a read', (ways: Ways) => void ways.takesReady(message), 4],
    ['to what left memory', (ways: Ways) => ways.leave(message), 4],
  ])('%s of a blocked stream', (_what, passBy, expected) => {
    const { ways, floor } = setup()
    ways.reload(ways.beginReload(), [0], held)
    passBy(ways)
    raiseFloor(floor, 20)

    ways.reload(ways.beginReload(), [0], [])

    expect(floor.of(0)).toBe(expected)
  })

  it('to where the lane stood when the topic was suspended, and below that to what left memory', () => {
    const { ways, floor } = setup()
    raiseFloor(floor, 10)
    ways.suspend('t', 'unavailable')
    ways.passBySuspended(message)
    raiseFloor(floor, 20)

    ways.resume('t', 'unavailable')

    expect(floor.of(0)).toBe(4)
  })

  it('not in a lane that is another relay’s by now', () => {
    const { ways, lanes, floor } = setup()
    ways.suspend('t', 'unavailable')
    lanes.remove(0)
    ways.removeLane(0)
    raiseFloor(floor, 20)

    ways.resume('t', 'unavailable')

    expect(floor.of(0)).toBe(20)
  })
})
