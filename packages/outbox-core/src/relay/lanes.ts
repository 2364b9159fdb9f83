/** A lane this relay owns. */
export interface Lane {
  readonly lane: number
  readonly fence: number
  /** Its blocked orders are known, so it may be read. */
  isReady: boolean
  /** On its way to another relay: nothing is read or sent any more. */
  isLeaving: boolean
  /** Messages to read at once; follows what the lane has to give. */
  limit: number
}

/** The lanes this relay owns. */
export class Lanes {
  readonly #lanes = new Map<number, Lane>()

  get size(): number {
    return this.#lanes.size
  }

  add(lane: number, fence: number): void {
    this.#lanes.set(lane, { lane, fence, isReady: false, isLeaving: false, limit: 64 })
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

  numbers(): number[] {
    return [...this.#lanes.keys()]
  }
}
