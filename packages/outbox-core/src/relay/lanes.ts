/** A lane this relay owns. */
export interface Lane {
  readonly lane: number
  readonly fence: number
  /** Its blocked streams are known, so it may be read. */
  isReady: boolean
  /** On its way to another relay: nothing is read or sent any more. */
  isLeaving: boolean
  /** Messages to read at once; follows what the lane has to give. */
  limit: number
  /** The first message that did not fit into the bytes of the last read. */
  withheld: { readonly seq: number; readonly id: string; readonly bytes: number } | null
  /** Owners that died one after the other before this one. */
  crashes: number
  /** Highest seq that lay in the lane when it was taken over after a crash; 0 after none. */
  readonly backlogEnd: number
  readonly acquiredAtMs: number
}

/** One death may have any reason; a second one in a row before the backlog is through puts it under suspicion. */
const carefulFrom = 2

/** A lane that died with several owners and is held for this long has outlived them, whatever still lies in it, in milliseconds. */
const trustedAfterMs = 60_000

/** Before that a failed message that is due again may not even have been read, in milliseconds. */
const calmAfterMs = 5_000

/** What became of the lane's former owners. */
export type LanePast = Pick<Lane, 'crashes' | 'backlogEnd' | 'acquiredAtMs'>

const noPast: LanePast = { crashes: 0, backlogEnd: 0, acquiredAtMs: 0 }

/** The lanes this relay owns. */
export class Lanes {
  readonly #lanes = new Map<number, Lane>()

  get size(): number {
    return this.#lanes.size
  }

  add(lane: number, fence: number, past: LanePast = noPast): void {
    this.#lanes.set(lane, { lane, fence, isReady: false, isLeaving: false, limit: 64, withheld: null, ...past })
  }

  remove(lane: number): void {
    this.#lanes.delete(lane)
  }

  get(lane: number): Lane | undefined {
    return this.#lanes.get(lane)
  }

  all(): Lane[] {
    return [...this.#lanes.values()]
  }

  /** May be read and sent from. */
  active(): Lane[] {
    return this.all().filter((lane) => lane.isReady && !lane.isLeaving)
  }

  isActive(lane: number): boolean {
    const found = this.#lanes.get(lane)
    return found !== undefined && found.isReady && !found.isLeaving
  }

  /** Whether the message may be what killed the lane's former owners. */
  isSuspected(lane: number, seq: number): boolean {
    const found = this.#lanes.get(lane)
    return found !== undefined && found.crashes >= carefulFrom && seq <= found.backlogEnd
  }

  /** Lanes whose past does not matter any more. `isThrough` says whether all that lay in the lane is read and settled. */
  calm(nowMs: number, isThrough: (lane: Lane) => boolean): Lane[] {
    return this.all().filter((lane) => {
      const heldMs = nowMs - lane.acquiredAtMs
      return (
        lane.crashes > 0 && !lane.isLeaving && heldMs >= calmAfterMs && (heldMs >= trustedAfterMs || isThrough(lane))
      )
    })
  }

  /** The lanes with the fences by which they are ours, in the order in which they are locked. One that is gone has none that fits. */
  fenced(lanes: Iterable<number>): readonly { readonly lane: number; readonly fence: number }[] {
    const numbers = [...lanes].sort((a, b) => a - b)
    return numbers.map((lane) => ({ lane, fence: this.#lanes.get(lane)?.fence ?? -1 }))
  }

  numbers(): number[] {
    return [...this.#lanes.keys()]
  }
}
