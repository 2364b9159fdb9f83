import type { BlockRow } from '../postgres/lane-reads.ts'

/** A stream of which no ready message may be read: a failed one waits for its next attempt, or an operator holds it. */
interface Block {
  readonly lane: number
  /** Nothing of the stream below this seq has been passed by. A late commit may lie below the message that blocks the stream. */
  fromSeq: number
  /** The lowest seq of the stream that waits in the table unread, as far as anybody said; Infinity when none does. */
  unreadFrom: number
  isHeld: boolean
  /** Statements under way that will make it true in the database. */
  pending: number
  /** When it last changed here, in reloads begun. */
  changedIn: number
  /** The last reload whose query showed it. */
  seenIn: number
}

/** So many are named in each read, whether it would bring anything of them or not. */
const maxNamed = 500

/** With so many in the way, it costs more to bring what is blocked, and leave it, than to name all. */
const crowd = 2_000

/** Naming more costs one read more than all that it would bring. */
const maxNamedInCrowd = 100_000

/**
 * The blocked streams of this relay's lanes. Pure. The database is the authority: `reload` replaces what is here, except
 * what changed after its query began.
 */
export class Blocks {
  readonly #blocks = new Map<string, Block>()
  /** Of many blocked streams those that a read brought a message of, the last of them with the highest seq. */
  readonly #seen = new Map<string, { readonly lane: number; readonly seq: number }>()
  /** Blocked streams of lanes that are read from their bottom, as one is that was taken over. */
  #atBottom = 0
  #reloads = 0
  #heldCount = 0

  get size(): number {
    return this.#blocks.size
  }

  get heldCount(): number {
    return this.#heldCount
  }

  has(stream: string): boolean {
    return this.#blocks.has(stream)
  }

  /** Whether an operator holds it, by hand or by a dead letter that waits for a decision. */
  isHeld(stream: string): boolean {
    return this.#blocks.get(stream)?.isHeld === true
  }

  streams(): string[] {
    return [...this.#blocks.keys()]
  }

  /**
   * Blocked streams that a read leaves out: all, or of many those of which a read brought something that no floor has passed yet. The
   * messages of all others are brought by one read, and not taken from it. All again, until the floors are past them, where reads
   * would bring hardly anything else: that is known of lanes that are read from their bottom, or by what reads brought.
   */
  skipped(): string[] {
    const isCrowded = Math.max(this.#atBottom, this.#seen.size) >= crowd && this.#blocks.size <= maxNamedInCrowd
    if (this.#blocks.size <= maxNamed || isCrowded) return this.streams()
    return [...this.#seen.keys()].filter((stream) => this.#blocks.has(stream))
  }

  /** A message of the stream failed: it will wait. No reload lifts the block before `confirm`. */
  fail(stream: string, lane: number, seq: number): void {
    const block = this.#block(stream, lane, seq)
    block.pending++
    block.unreadFrom = Math.min(block.unreadFrom, seq)
  }

  /** What waits in the stream was read, from `seq` on. */
  read(stream: string, lane: number, seq: number): void {
    this.#block(stream, lane, seq).unreadFrom = Number.POSITIVE_INFINITY
  }

  /** Whether a message that waited is to stay where it is: an earlier one waits unread, or an operator holds the stream. */
  isClosed(stream: string, seq: number): boolean {
    const block = this.#blocks.get(stream)
    return block !== undefined && (block.isHeld || seq > block.unreadFrom)
  }

  /** Streams of which nothing that waits is to be read: what fails is not written down yet, or an operator holds them. */
  closed(): string[] {
    return [...this.#blocks].filter(([, { isHeld, pending }]) => isHeld || pending > 0).map(([stream]) => stream)
  }

  #block(stream: string, lane: number, seq: number): Block {
    return this.#change(this.#blocks.get(stream) ?? this.#open(stream, lane, seq), seq)
  }

  #open(stream: string, lane: number, seq: number): Block {
    const block = {
      lane,
      fromSeq: seq,
      unreadFrom: Number.POSITIVE_INFINITY,
      isHeld: false,
      pending: 0,
      changedIn: 0,
      seenIn: 0,
    }
    this.#blocks.set(stream, block)
    return block
  }

  #change(block: Block, seq: number): Block {
    if (seq < block.fromSeq) block.fromSeq = seq
    block.changedIn = this.#reloads
    return block
  }

  /** The statement announced by `pending` has committed. */
  confirm(stream: string): void {
    const block = this.#blocks.get(stream)
    if (block === undefined) return
    block.pending--
    block.changedIn = this.#reloads
  }

  /**
   * A read passes by what its lanes hold of their blocked streams.
   *
   * @param froms - lane → the lowest seq that the read takes in
   */
  passBy(froms: ReadonlyMap<number, number>): void {
    this.#atBottom = 0
    for (const block of this.#blocks.values()) {
      const from = froms.get(block.lane)
      if (from === undefined) continue
      if (from < block.fromSeq) block.fromSeq = from
      if (from <= 1) this.#atBottom++
    }
    for (const [stream, { lane, seq }] of this.#seen) if (seq < (froms.get(lane) ?? 0)) this.#seen.delete(stream)
  }

  /** A message leaves memory, or is not taken from a read: it stays in the table. @returns whether its stream is blocked */
  leave(stream: string, seq: number, hasWaited = false): boolean {
    if (this.#blocks.size === 0) return false
    const block = this.#blocks.get(stream)
    if (block === undefined) return false
    if (seq < block.fromSeq) block.fromSeq = seq
    if (hasWaited && seq < block.unreadFrom) block.unreadFrom = seq
    if (this.#blocks.size > maxNamed && this.#seen.size < crowd && seq > (this.#seen.get(stream)?.seq ?? 0))
      this.#seen.set(stream, { lane: block.lane, seq })
    return true
  }

  removeLane(lane: number): void {
    for (const [stream, block] of this.#blocks) if (block.lane === lane) this.#blocks.delete(stream)
    for (const [stream, seen] of this.#seen) if (seen.lane === lane) this.#seen.delete(stream)
    this.#countHeld()
  }

  /** Call before the query of a reload is sent; hand the number to `reload`. */
  beginReload(): number {
    return ++this.#reloads
  }

  /** @returns from where which lanes must be read again, and streams that were not blocked before */
  reload(
    begun: number,
    lanes: ReadonlySet<number>,
    rows: readonly BlockRow[],
  ): { readonly rewinds: { lane: number; seq: number }[]; readonly blocked: string[] } {
    const blocked: string[] = []
    for (const row of rows) {
      const known = this.#blocks.get(row.stream)
      if (known === undefined) blocked.push(row.stream)
      else if (known.pending === 0 && known.changedIn < begun) known.unreadFrom = Number.POSITIVE_INFINITY
      const block = this.#change(known ?? this.#open(row.stream, row.lane, row.seq), row.seq)
      block.unreadFrom = Math.min(block.unreadFrom, row.unread ?? Number.POSITIVE_INFINITY)
      block.isHeld = row.held || (block.seenIn === begun && block.isHeld)
      block.seenIn = begun
    }
    const rewinds: { lane: number; seq: number }[] = []
    for (const [stream, block] of this.#blocks) {
      if (block.seenIn === begun || !lanes.has(block.lane)) continue
      block.isHeld = false
      if (block.pending > 0 || block.changedIn >= begun) continue
      this.#blocks.delete(stream)
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
