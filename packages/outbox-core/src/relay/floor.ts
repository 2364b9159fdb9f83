/** What one look at the writers' locks showed. */
export interface Barrier {
  /** Highest seq value drawn so far. */
  readonly drawn: number
  /** Transactions that hold the writers' lock on `messages`: they may have drawn values and not committed them. */
  readonly holders: readonly string[]
}

interface OpenWriter {
  /** Every value this transaction has drawn or will draw is greater. */
  readonly above: number
  /** Left behind: reads start above it, and its end sends them back. */
  isOld: boolean
}

/**
 * Says from where each lane must be read, so that no message is missed although seq values become visible out of order.
 *
 * Pure: it knows neither SQL nor time. The reader alternates `read, barrier, read, barrier …` and reports both.
 *
 * The argument (docs/relay-protocol.md has it in full). A writer holds a lock on `messages` from before it draws a value
 * until its transaction ends. So whoever drew a value up to `drawn` of barrier k-1 is among the holders of barrier k or had
 * ended before it; a read begun after barrier k sees everything of the ended ones. What it covers completely lies below the
 * new floor, except values of transactions still running: the young ones hold the floor down. One that stays open for long
 * becomes *old*: the floor passes it, and when it ends, every lane goes back to below its first value. A read during which
 * an old one ended may show a follower without its predecessor and is thrown away.
 */
export interface Floor {
  addLane(lane: number): void
  removeLane(lane: number): void
  /** Exclusive lower bound of the lane's next read. */
  of(lane: number): number
  /** Makes the lane's next read start at or below `seq`, which a running read cannot undo. */
  rewind(lane: number, seq: number): void
  /** A read is about to start. Its rows may be used only after `finishRead` returned true. */
  beginRead(): void
  /** Whether `finishRead` needs a barrier taken after the read. */
  readonly needsConfirmation: boolean
  /** Whether a transaction is open of which no look has shown from where on it draws: until it ends no floor rises, or the next read is thrown away. */
  readonly hasUndatedWriters: boolean
  /** Notes what a look at the locks showed. Not while a read whose rows are not confirmed by it is running. */
  noteBarrier(barrier: Barrier): void
  /**
   * The read is over. `reach(lane)`: it covered the lane completely up to this value (Infinity when no limit was hit).
   *
   * @returns false: throw the rows away and read again
   */
  finishRead(lanes: readonly number[], reach: (lane: number) => number): boolean
  /** Transactions that could still commit a value below what was read: what a relay waits for before it sleeps deeply. */
  readonly holders: ReadonlySet<string>
}

/** @param oldAfter - how many values may be drawn after a transaction's first before it is left behind: the price of a read */
export function createFloor(oldAfter: number): Floor {
  return new OpenWritersFloor(oldAfter)
}

class OpenWritersFloor implements Floor {
  readonly #oldAfter: number
  readonly #floors = new Map<number, number>()
  readonly #openWriters = new Map<string, OpenWriter>()
  /** `drawn` of the last barrier and of the one before. */
  #drawn = 0
  #drawnBefore = 0
  /** What a complete read begun after the last barrier may raise floors to. */
  #bound = 0
  /** The same, as it was when the running read began. */
  #boundOfRead = 0
  /** Rewinds since the running read began. */
  readonly #rewinds = new Map<number, number>()
  #oldOneEnded = false
  holders: ReadonlySet<string> = new Set()

  constructor(oldAfter: number) {
    this.#oldAfter = oldAfter
  }

  addLane(lane: number): void {
    this.#floors.set(lane, 0)
    this.#rewinds.set(lane, 0)
  }

  removeLane(lane: number): void {
    this.#floors.delete(lane)
    this.#rewinds.delete(lane)
  }

  of(lane: number): number {
    return this.#floors.get(lane) ?? 0
  }

  rewind(lane: number, seq: number): void {
    const below = seq - 1
    this.#floors.set(lane, Math.min(this.of(lane), below))
    this.#rewinds.set(lane, Math.min(this.#rewinds.get(lane) ?? below, below))
  }

  beginRead(): void {
    this.#rewinds.clear()
    this.#oldOneEnded = false
    this.#boundOfRead = this.#bound
  }

  get needsConfirmation(): boolean {
    for (const writer of this.#openWriters.values()) if (writer.isOld) return true
    return false
  }

  get hasUndatedWriters(): boolean {
    for (const { above } of this.#openWriters.values()) if (above === 0) return true
    return false
  }

  noteBarrier({ drawn, holders }: Barrier): void {
    this.holders = new Set(holders)
    const lowestEnded = this.#forgetEnded()
    for (const holder of holders) {
      // A prepared transaction may show under a new name: it inherits the lowest value of whoever vanished.
      const isPrepared = holder.startsWith('-1/')
      const above = isPrepared ? Math.min(this.#drawnBefore, lowestEnded) : this.#drawnBefore
      if (!this.#openWriters.has(holder)) this.#openWriters.set(holder, { above, isOld: false })
    }
    this.#bound = this.#drawn
    for (const writer of this.#openWriters.values()) {
      if (writer.above < drawn - this.#oldAfter) writer.isOld = true
      if (!writer.isOld) this.#bound = Math.min(this.#bound, writer.above)
    }
    this.#drawnBefore = this.#drawn
    this.#drawn = drawn
  }

  finishRead(lanes: readonly number[], reach: (lane: number) => number): boolean {
    if (this.#oldOneEnded) return false
    for (const lane of lanes) {
      const floor = this.#floors.get(lane)
      if (floor === undefined) continue
      const raised = Math.max(floor, Math.min(this.#boundOfRead, reach(lane)))
      this.#floors.set(lane, Math.min(raised, this.#rewinds.get(lane) ?? raised))
    }
    return true
  }

  /** @returns the lowest value any of them can have drawn is above this */
  #forgetEnded(): number {
    let lowest = Number.POSITIVE_INFINITY
    for (const [holder, writer] of this.#openWriters) {
      if (this.holders.has(holder)) continue
      this.#openWriters.delete(holder)
      lowest = Math.min(lowest, writer.above)
      if (!writer.isOld) continue
      this.#oldOneEnded = true
      for (const lane of this.#floors.keys()) this.rewind(lane, writer.above + 1)
    }
    return lowest
  }
}
