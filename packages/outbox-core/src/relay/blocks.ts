/** An order of which no ready message may be read: a failed one waits for its next attempt, or an operator holds it. */
interface Block {
  readonly lane: number
  /** Nothing of the order below this seq has been passed by. A late commit may lie below the message that blocks the order. */
  fromSeq: number
  isHeld: boolean
  /** Statements under way that will make it true in the database. */
  pending: number
  /** When it last changed here, in reloads begun. */
  changedIn: number
}

/** So many are named in each read, whether it would bring anything of them or not. */
const maxNamed = 500

/** A lane that is taken over is read from its bottom: with so many in the way, one read that names all brings less than it costs. */
const crowd = 2_000

/** Naming more costs one read more than all that it would bring. */
const maxNamedInCrowd = 100_000

export interface BlockRow {
  readonly lane: number
  readonly order: string
  readonly seq: number
  readonly held: boolean
}

/**
 * The blocked orders of this relay's lanes. Pure. The database is the authority: `reload` replaces what is here, except
 * what changed after its query began.
 */
export class Blocks {
  readonly #blocks = new Map<string, Block>()
  /** Of many blocked orders those that a read brought a message of, the last of them with the highest seq. */
  readonly #seen = new Map<string, { readonly lane: number; readonly seq: number }>()
  #reloads = 0
  #heldCount = 0

  get size(): number {
    return this.#blocks.size
  }

  get heldCount(): number {
    return this.#heldCount
  }

  has(order: string): boolean {
    return this.#blocks.has(order)
  }

  /** Whether an operator holds it, by hand or by a dead letter that waits for a decision. */
  isHeld(order: string): boolean {
    return this.#blocks.get(order)?.isHeld === true
  }

  orders(): string[] {
    return [...this.#blocks.keys()]
  }

  heldOrders(): string[] {
    return [...this.#blocks].filter(([, block]) => block.isHeld).map(([order]) => order)
  }

  /**
   * Blocked orders that a read leaves out: all, or of many those of which a read brought something that no floor has passed yet. The
   * messages of all others are brought by one read, and not taken from it. All again, until the floors are past them, when reads
   * bring hardly anything else.
   */
  skipped(): string[] {
    const isCrowded = this.#seen.size >= crowd && this.#blocks.size <= maxNamedInCrowd
    if (this.#blocks.size <= maxNamed || isCrowded) return this.orders()
    return [...this.#seen.keys()].filter((order) => this.#blocks.has(order))
  }

  /** Blocks the order from `seq` on. With `pending`, no reload lifts it before `confirm`. */
  block(order: string, lane: number, seq: number, options: { pending: boolean }): void {
    const block = this.#blocks.get(order) ?? { lane, fromSeq: seq, isHeld: false, pending: 0, changedIn: 0 }
    block.fromSeq = Math.min(block.fromSeq, seq)
    block.changedIn = this.#reloads
    if (options.pending) block.pending++
    this.#blocks.set(order, block)
  }

  /** The statement announced by `pending` has committed. */
  confirm(order: string): void {
    const block = this.#blocks.get(order)
    if (block === undefined) return
    block.pending--
    block.changedIn = this.#reloads
  }

  /**
   * A read passes by what its lanes hold of their blocked orders.
   *
   * @param froms - lane → the lowest seq that the read takes in
   */
  passBy(froms: ReadonlyMap<number, number>): void {
    for (const block of this.#blocks.values()) {
      const from = froms.get(block.lane)
      if (from !== undefined && from < block.fromSeq) block.fromSeq = from
    }
    for (const [order, { lane, seq }] of this.#seen) if (seq < (froms.get(lane) ?? 0)) this.#seen.delete(order)
  }

  /** A message leaves memory, or is not taken from a read: it stays in the table. @returns whether its order is blocked */
  leave(order: string, seq: number): boolean {
    if (this.#blocks.size === 0) return false
    const block = this.#blocks.get(order)
    if (block === undefined) return false
    if (seq < block.fromSeq) block.fromSeq = seq
    if (this.#blocks.size > maxNamed && this.#seen.size < crowd && seq > (this.#seen.get(order)?.seq ?? 0))
      this.#seen.set(order, { lane: block.lane, seq })
    return true
  }

  removeLane(lane: number): void {
    for (const [order, block] of this.#blocks) if (block.lane === lane) this.#blocks.delete(order)
    for (const [order, seen] of this.#seen) if (seen.lane === lane) this.#seen.delete(order)
    this.#countHeld()
  }

  /** Call before the query of a reload is sent; hand the number to `reload`. */
  beginReload(): number {
    return ++this.#reloads
  }

  /** @returns from where which lanes must be read again, and orders that were not blocked before */
  reload(
    begun: number,
    lanes: ReadonlySet<number>,
    rows: readonly BlockRow[],
  ): { readonly rewinds: { lane: number; seq: number }[]; readonly blocked: string[] } {
    const blocked: string[] = []
    const seen = new Map<string, boolean>()
    for (const row of rows) {
      if (!this.#blocks.has(row.order)) blocked.push(row.order)
      this.block(row.order, row.lane, row.seq, { pending: false })
      seen.set(row.order, (seen.get(row.order) ?? false) || row.held)
    }
    const rewinds: { lane: number; seq: number }[] = []
    for (const [order, block] of this.#blocks) {
      if (!lanes.has(block.lane)) continue
      const isHeld = seen.get(order)
      block.isHeld = isHeld ?? false
      if (isHeld !== undefined || block.pending > 0 || block.changedIn >= begun) continue
      this.#blocks.delete(order)
      rewinds.push({ lane: block.lane, seq: block.fromSeq })
    }
    this.#countHeld()
    return { rewinds, blocked }
  }

  #countHeld(): void {
    this.#heldCount = 0
    for (const block of this.#blocks.values()) if (block.isHeld) this.#heldCount++
  }
}
