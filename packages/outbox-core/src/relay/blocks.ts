import { arrayLiteral, elements } from '../postgres/array-literal.ts'
import type { BlocksOfLane } from '../postgres/lane-reads.ts'
import { type Block, LaneBlocks } from './lane-blocks.ts'

/** So many are named in each read, whether it would bring anything of them or not. */
const maxNamed = 500

/** With so many in the way, it costs more to bring what is blocked, and leave it, than to name all. */
const crowd = 2_000

/** Naming more costs one read more than all that it would bring. */
const maxNamedInCrowd = 100_000

const nothing: Omit<BlocksOfLane, 'lane'> = { waiting: [], held: { names: '{}', count: 0 } }

/**
 * The blocked streams of this relay's lanes. Pure. The database is the authority: `reload` replaces what is here, except
 * what changed after its query began. Names of streams are given as array literals of PostgreSQL.
 */
export class Blocks {
  readonly #lanes = new Map<number, LaneBlocks>()
  /** Of many blocked streams those that a read brought a message of, the last of them with the highest seq. */
  readonly #seen = new Map<string, { readonly lane: number; readonly seq: number }>()
  /** Blocked streams of lanes that are read from their bottom, as one is that was taken over. */
  #atBottom = 0
  #reloads = 0

  get size(): number {
    let size = 0
    for (const lane of this.#lanes.values()) size += lane.size
    return size
  }

  get hasHeld(): boolean {
    for (const { heldCount } of this.#lanes.values()) if (heldCount > 0) return true
    return false
  }

  has(stream: string, lane: number): boolean {
    return this.#get(stream, lane) !== undefined
  }

  /** Whether an operator holds it, by hand or by a dead letter that waits for a decision. */
  isHeld(stream: string, lane: number): boolean {
    return this.#get(stream, lane)?.isHeld === true
  }

  names(lanes: Iterable<number> = this.#lanes.keys()): string {
    return arrayLiteral(Array.from(lanes, (lane) => this.#lanes.get(lane)?.names ?? ''))
  }

  /**
   * Blocked streams that a read leaves out: all, or of many those of which a read brought something that no floor has passed yet. The
   * messages of all others are brought by one read, and not taken from it. All again, until the floors are past them, where reads
   * would bring hardly anything else: that is known of lanes that are read from their bottom, or by what reads brought.
   */
  skipped(): string {
    const { size } = this
    const isCrowded = Math.max(this.#atBottom, this.#seen.size) >= crowd && size <= maxNamedInCrowd
    if (size <= maxNamed || isCrowded) return this.names()
    return arrayLiteral([
      elements([...this.#seen].filter(([name, { lane }]) => this.has(name, lane)).map(([name]) => name)),
    ])
  }

  /** A message of the stream failed: it will wait. No reload lifts the block before `confirm`. */
  fail(stream: string, lane: number, seq: number): void {
    const block = this.#lane(lane).change(stream, seq, this.#reloads, 1)
    block.unreadFrom = Math.min(block.unreadFrom, seq)
  }

  /** What waits in the stream was read, from `seq` on. */
  read(stream: string, lane: number, seq: number): void {
    this.#lane(lane).change(stream, seq, this.#reloads).unreadFrom = Number.POSITIVE_INFINITY
  }

  /** Whether a message that waited is to stay where it is: an earlier one waits unread, or an operator holds the stream. */
  isClosed(stream: string, lane: number, seq: number): boolean {
    const block = this.#get(stream, lane)
    return block !== undefined && (block.isHeld || seq > block.unreadFrom)
  }

  /**
   * Streams of which nothing that waits is to be read, these others among them: what fails is not written down yet, or an operator
   * holds them.
   */
  closed(others: Iterable<string> = [], lanes: Iterable<number> = this.#lanes.keys()): string {
    return arrayLiteral([...Array.from(lanes, (lane) => this.#lanes.get(lane)?.closedNames ?? ''), elements(others)])
  }

  /** The statement announced by `fail` has committed. */
  confirm(stream: string, lane: number): void {
    if (this.has(stream, lane)) this.#lane(lane).change(stream, Number.POSITIVE_INFINITY, this.#reloads, -1)
  }

  /** A dead letter of the stream holds it: this relay has just written that down. */
  hold(stream: string, lane: number): void {
    this.#lane(lane).hold(stream, this.#reloads)
  }

  /**
   * A read passes by what its lanes hold of their blocked streams.
   *
   * @param froms - lane → the lowest seq that the read takes in
   */
  passBy(froms: ReadonlyMap<number, number>): void {
    this.#atBottom = 0
    for (const [number, lane] of this.#lanes) {
      const from = froms.get(number)
      if (from === undefined) continue
      lane.passBy(from)
      if (from <= 1) this.#atBottom += lane.size
    }
    for (const [stream, { lane, seq }] of this.#seen) if (seq < (froms.get(lane) ?? 0)) this.#seen.delete(stream)
  }

  /** A message leaves memory, or is not taken from a read: it stays in the table. @returns whether its stream is blocked */
  leave(stream: string, lane: number, seq: number, hasWaited = false): boolean {
    const block = this.#get(stream, lane)
    if (block === undefined) return false
    if (seq < block.fromSeq) block.fromSeq = seq
    if (hasWaited && seq < block.unreadFrom) block.unreadFrom = seq
    if (this.#seen.size < crowd && seq > (this.#seen.get(stream)?.seq ?? 0) && this.size > maxNamed)
      this.#seen.set(stream, { lane, seq })
    return true
  }

  removeLane(lane: number): void {
    this.#lanes.delete(lane)
    for (const [stream, seen] of this.#seen) if (seen.lane === lane) this.#seen.delete(stream)
  }

  /** Call before the query of a reload is sent; hand the number to `reload`. */
  beginReload(): number {
    return ++this.#reloads
  }

  /**
   * @param rows - what the query showed of `lanes`: none for a lane of which nothing is blocked
   * @returns from where which lanes must be read again
   */
  reload(begun: number, lanes: Iterable<number>, rows: readonly BlocksOfLane[]): { lane: number; seq: number }[] {
    const shown = new Map(rows.map((row) => [row.lane, row]))
    const rewinds: { lane: number; seq: number }[] = []
    for (const lane of lanes) {
      const seq = this.#lane(lane).reload(begun, shown.get(lane) ?? nothing)
      if (seq < Number.POSITIVE_INFINITY) rewinds.push({ lane, seq })
    }
    return rewinds
  }

  #get(stream: string, lane: number): Block | undefined {
    return this.#lanes.get(lane)?.get(stream)
  }

  #lane(number: number): LaneBlocks {
    const lane = this.#lanes.get(number) ?? new LaneBlocks()
    this.#lanes.set(number, lane)
    return lane
  }
}
