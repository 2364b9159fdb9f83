import type { LaneShare } from '../postgres/message-reads.ts'
import type { Lane } from './lanes.ts'

/** What there is room for in memory. */
export interface Room {
  readonly messages: number
  readonly bytes: number
  /** Nothing is in memory: one message alone may take more bytes than there are. */
  readonly isEmpty: boolean
}

/** What a read brought of a lane. */
export interface LaneYield {
  rows: number
  /** Seq of the highest row. */
  last: number
  /** The first message for which there were no bytes. */
  withheld: Lane['withheld']
}

/** Of the free bytes: less after each death of an owner from the second on, so that what they may have died of is read alone. */
export function carefulShare(lanes: readonly Lane[]): number {
  const deaths = Math.max(0, ...lanes.map(({ crashes }) => crashes))
  return 4 ** -Math.min(5, Math.max(0, deaths - 1))
}

/**
 * Splits the room: a lane that came back full last time wants twice as many rows, others half. Of the bytes the messages that did
 * not fit last time get theirs first, oldest first, and the other lanes what is left. Together no more than is free, except for
 * one message alone.
 *
 * @param portion - of the rows that there is room for
 */
export function shareOut(
  lanes: readonly Lane[],
  room: Room,
  portion: number,
): readonly Pick<LaneShare, 'limit' | 'bytes'>[] {
  const wanted = lanes.reduce((sum, lane) => sum + lane.limit, 0)
  const scale = Math.min(1, room.messages / wanted) * portion
  let free = Math.floor(room.bytes)
  const given = new Map<Lane, number>()
  for (const lane of lanes.filter(({ withheld }) => withheld !== null).sort(bySeqWithheld)) {
    const bytes = lane.withheld?.bytes ?? 0
    const isAlone = given.size === 0 && room.isEmpty
    if (bytes > free && !isAlone) {
      free = Math.floor(free / 2) // What the others may fill meanwhile: all of it, and the large one would never fit.
      break
    }
    given.set(lane, bytes)
    free -= bytes
  }
  const others = lanes.filter(({ withheld }) => withheld === null)
  const bytesEach = Math.max(0, free) / others.reduce((sum, lane) => sum + lane.limit, 0)
  return lanes.map((lane) => ({
    limit: Math.max(1, Math.floor(lane.limit * scale)),
    bytes: lane.withheld === null ? Math.floor(bytesEach * lane.limit) : (given.get(lane) ?? 0),
  }))
}

/** Up to where each lane was covered completely; lanes that hit a limit get a larger share next time. */
export function coverage(
  lanes: readonly Lane[],
  shares: readonly Pick<LaneShare, 'limit'>[],
  yields: ReadonlyMap<number, LaneYield>,
): { readonly reach: ReadonlyMap<number, number>; readonly isFull: boolean } {
  const reach = new Map<number, number>()
  let isAnyFull = false
  lanes.forEach((lane, at) => {
    const limit = shares[at]?.limit ?? 0
    const brought = yields.get(lane.lane)
    lane.withheld = brought?.withheld ?? null
    const isFull = lane.withheld === null && brought !== undefined && brought.rows >= limit
    if (lane.withheld !== null) reach.set(lane.lane, lane.withheld.seq - 1)
    else reach.set(lane.lane, isFull ? (brought?.last ?? 0) : Number.POSITIVE_INFINITY)
    lane.limit = isFull ? Math.min(lane.limit * 2, 10_000) : Math.max(16, lane.limit >> 1)
    isAnyFull ||= isFull
  })
  return { reach, isFull: isAnyFull }
}

export function oldestWithheld(lanes: readonly Lane[]): Lane | undefined {
  return lanes.filter(({ withheld }) => withheld !== null).sort(bySeqWithheld)[0]
}

const bySeqWithheld = (a: Lane, b: Lane): number => (a.withheld?.seq ?? 0) - (b.withheld?.seq ?? 0)

/** So that what is wrong with some lanes is not met each time. */
export function inRandomOrder(numbers: readonly number[]): number[] {
  const drawn = numbers.map((number) => ({ number, place: Math.random() }))
  return drawn.sort((a, b) => a.place - b.place).map(({ number }) => number)
}
