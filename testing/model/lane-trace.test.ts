import { describe, expect, it } from 'vitest'
import type { Fault, History, OwnershipChange, Publication } from '../history/history.ts'
import { replayHistory } from './lane-trace.ts'

const lane = 7

/** `by` is the process whose statement did it. */
const taken = (to: string, atMs: number, of = lane): OwnershipChange => {
  return { lane: of, from: null, to, by: to, fence: atMs, atMs }
}
/** Written down as the database sees it: the relay's row is gone, and with it the name. */
const freed = (by: string, atMs: number): OwnershipChange => {
  return { lane, from: '01a22530-8e6a-7602-a857-ba731eae9fed', to: null, by, fence: atMs, atMs }
}
const lost = (relay: string, atMs: number): Fault => ({
  kind: 'session-lost-lease-expired',
  relay,
  startedAtMs: atMs - 1,
  endedAtMs: atMs,
  healsFromMs: atMs,
  lanes: [],
})
const published = (relay: string, startedAtMs: number): Publication => ({
  id: 'm',
  relay,
  startedAtMs,
  answer: 'accepted',
  answeredAtMs: startedAtMs + 10,
  settledAtMs: startedAtMs + 20,
})

/** One message of one key. */
function run(told: {
  readonly atMs: number
  readonly ownerships: readonly OwnershipChange[]
  readonly faults?: readonly Fault[]
  readonly publications: readonly Publication[]
}): History {
  const { atMs, ...rest } = told
  const { publications } = rest
  const message = { id: 'm', key: 'k', place: 1, lane, atMs, begunAtMs: atMs - 5, isDoomed: false, isRefused: false }
  return {
    faults: [],
    ...rest,
    committed: [message],
    arrivals: publications.map(({ id, startedAtMs }) => ({ id, atMs: startedAtMs + 5 })),
    effects: [{ id: 'm', consumer: 'c' }],
    consumers: ['c'],
    deadLetters: [],
    refusals: [],
    cutOffs: [],
    missedByFloor: 0,
    remains: { outbox: [], broker: 0, letters: 0 },
  }
}

const leaving = (by: string): History =>
  run({
    atMs: 5_000,
    ownerships: [taken('r2', 100), freed(by, 5_300), taken('r1', 5_400)],
    publications: [published('r1', 5_600)],
  })

/** The session ended at 10 s, and nobody got to the lane before 50 s. */
const standstill = (...also: readonly OwnershipChange[]): History =>
  run({
    atMs: 30_000,
    ownerships: [taken('r2', 100), ...also, freed('r1', 50_000), taken('r1', 50_100)],
    faults: [lost('r2', 10_000)],
    publications: [published('r1', 50_300)],
  })

/** One relay loses the lane three times within seconds, each time found dead by another. */
const thriceLost = (...losses: readonly number[]): History =>
  run({
    atMs: 1_000,
    ownerships: [
      taken('r1', 100),
      ...[2_000, 5_000, 8_000].flatMap((atMs) => [freed('r2', atMs), taken('r1', atMs + 500)]),
    ],
    faults: losses.map((atMs) => lost('r1', atMs)),
    publications: [published('r1', 9_000)],
  })

describe('a lane passes from one relay to another while a message of it waits', () => {
  it.each([
    ['the one leaves', leaving('r2')],
    ['the one lost its session long before the message, and nobody could see to its lanes', standstill()],
    ['the one loses its session again and again', thriceLost(2_050, 5_050, 8_050)],
  ])('and it is a history of the model that %s', (_, history) => {
    expect(replayHistory(history)).toMatchObject({ accepted: 1, refused: [] })
  })

  it.each([
    ['the other takes it from one that is well', leaving('r1')],
    [
      'the one lost its session, was back with other lanes, and nothing was done to it since',
      standstill(taken('r2', 12_000, lane + 1)),
    ],
    ['the one loses the lane more often than its session', thriceLost(2_050, 5_050)],
  ])('and it is none that %s', (_, history) => {
    expect(replayHistory(history)).toMatchObject({
      accepted: 0,
      refused: [expect.stringContaining('acquires the lane')],
    })
  })
})

describe("the database's clock jumps, and a relay whose lease it ended publishes by its own clock", () => {
  const jumped: Fault = { ...lost('r1', 900), kind: 'move-database-clock', relay: null, lanes: [lane] }
  const publishes = (...owners: readonly OwnershipChange[]): History =>
    run({
      atMs: 1_000,
      ownerships: [taken('r1', 100), ...owners],
      faults: [jumped],
      publications: [published('r1', 1_100)],
    })

  it('which the model has no word for, and is left out by name', () => {
    expect(replayHistory(publishes(freed('r2', 950)))).toMatchObject({
      accepted: 0,
      refused: [],
      leftOut: { 'move-database-clock': 1 },
    })
  })

  it('which tells nothing of a lane that did not pass on', () => {
    expect(replayHistory(publishes())).toMatchObject({ accepted: 1, leftOut: {} })
  })
})
