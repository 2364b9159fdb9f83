import { elements, textsOf } from '../postgres/array-literal.ts'
import type { BlocksOfLane, WaitingStream } from '../postgres/lane-reads.ts'

/** A stream of which no ready message may be read: a failed one waits for its next attempt, or an operator holds it. */
export interface Block {
  /** Nothing of the stream below this seq has been passed by. A late commit may lie below the message that blocks the stream. */
  fromSeq: number
  /** The lowest seq of the stream that waits in the table unread, as far as anybody said; Infinity when none does. */
  unreadFrom: number
  isHeld: boolean
  /** Reloads that had begun when this relay wrote the hold down itself: what those show is older. */
  heldIn: number
  /** Statements under way that will make it true in the database. */
  pending: number
  /** When it last changed here, in reloads begun. */
  changedIn: number
  /** The last reload whose query showed it. */
  seenIn: number
}

/** As the database shows them, by name only once somebody asks for one. */
interface Sealed {
  readonly names: string
  readonly count: number
  readonly seenIn: number
  /** No read has passed them by below this seq. */
  fromSeq: number
}

/**
 * The blocked streams of one lane. Pure. Reads, and reloads that show what the last one did, cost the same however many there are.
 */
export class LaneBlocks {
  readonly #blocks = new Map<string, Block>()
  /** Held streams of a lane in which nothing else is blocked. */
  #sealed: Sealed | null = null
  /** Opened since the last read of the lane. */
  readonly #fresh = new Set<Block>()
  /** Where the last read of the lane began. */
  #readFrom = Number.POSITIVE_INFINITY
  /** What the last reload showed to be held. */
  #held = '{}'
  #heldCount = 0
  /** Array literals without their braces, while nothing changed. */
  #names: string | null = null
  #closedNames: string | null = null

  get size(): number {
    return this.#sealed?.count ?? this.#blocks.size
  }

  get heldCount(): number {
    return this.#sealed?.count ?? this.#heldCount
  }

  get(stream: string): Block | undefined {
    return this.#unsealed().get(stream)
  }

  /** All streams, as elements of an array literal. */
  get names(): string {
    if (this.#sealed !== null) return this.#sealed.names.slice(1, -1)
    return (this.#names ??= elements(this.#blocks.keys()))
  }

  /** Those of which nothing that waits is to be read: what fails is not written down yet, or an operator holds them. */
  get closedNames(): string {
    if (this.#sealed !== null) return this.names
    return (this.#closedNames ??= elements(this.#closed()))
  }

  /** Something of the stream left memory, or was seen, at `seq`. @param reloads - begun so far */
  change(stream: string, seq: number, reloads: number, pending = 0): Block {
    const block = this.#unsealed().get(stream) ?? this.#open(stream)
    if (seq < block.fromSeq) block.fromSeq = seq
    block.changedIn = reloads
    block.pending += pending
    if (pending !== 0) this.#closedNames = null
    return block
  }

  /** This relay wrote down that the stream is held. @param reloads - begun so far */
  hold(stream: string, reloads: number): void {
    const block = this.change(stream, Number.POSITIVE_INFINITY, reloads)
    block.isHeld = true
    block.heldIn = reloads
    this.#closedNames = null
  }

  /** A read of the lane passes all by from here on. */
  passBy(from: number): void {
    if (this.#sealed !== null) this.#sealed.fromSeq = Math.min(this.#sealed.fromSeq, from)
    // Whoever was passed by before stays where the lowest read began.
    for (const block of from < this.#readFrom ? this.#blocks.values() : this.#fresh)
      if (from < block.fromSeq) block.fromSeq = from
    this.#fresh.clear()
    this.#readFrom = from
  }

  /** @returns from where the lane must be read again; Infinity when nothing is lifted that was passed by */
  reload(begun: number, { waiting, held }: Omit<BlocksOfLane, 'lane'>): number {
    const isAllHeld = waiting.length === 0 && this.size === this.heldCount
    if (isAllHeld && held.names === this.#held) return Number.POSITIVE_INFINITY
    this.#held = held.names
    if (isAllHeld && this.size === 0) {
      this.#sealed = { ...held, seenIn: begun, fromSeq: Number.POSITIVE_INFINITY }
      return Number.POSITIVE_INFINITY
    }
    for (const row of waiting) this.#show(begun, row, false)
    const nothing = Number.POSITIVE_INFINITY
    for (const stream of textsOf(held.names)) this.#show(begun, { stream, seq: nothing, unread: null }, true)
    return this.#lift(begun)
  }

  #show(begun: number, { stream, seq, unread }: WaitingStream, isHeld: boolean): void {
    const known = this.#unsealed().get(stream)
    if (known?.pending === 0 && known.changedIn < begun) known.unreadFrom = Number.POSITIVE_INFINITY
    const block = this.change(stream, seq, begun)
    block.unreadFrom = Math.min(block.unreadFrom, unread ?? Number.POSITIVE_INFINITY)
    block.isHeld = isHeld || block.heldIn >= begun || (block.seenIn === begun && block.isHeld)
    block.seenIn = begun
  }

  #lift(begun: number): number {
    let rewind = Number.POSITIVE_INFINITY
    this.#heldCount = 0
    for (const [stream, block] of this.#unsealed()) {
      if (block.seenIn !== begun) {
        if (block.heldIn < begun) block.isHeld = false
        if (block.pending === 0 && block.changedIn < begun) {
          this.#blocks.delete(stream)
          this.#fresh.delete(block)
          rewind = Math.min(rewind, block.fromSeq)
        }
      }
      // What nobody has shown yet is not counted: the same text of the held may be one that lets it go.
      if (block.isHeld && block.heldIn < begun) this.#heldCount++
    }
    this.#names = this.#closedNames = null
    return rewind
  }

  #open(stream: string, block: Block = newBlock()): Block {
    this.#blocks.set(stream, block)
    this.#fresh.add(block)
    this.#names = null
    return block
  }

  #unsealed(): Map<string, Block> {
    if (this.#sealed === null) return this.#blocks
    const { names, count, seenIn, fromSeq } = this.#sealed
    this.#sealed = null
    this.#heldCount = count
    for (const stream of textsOf(names))
      this.#open(stream, { ...newBlock(), fromSeq, isHeld: true, changedIn: seenIn, seenIn })
    return this.#blocks
  }

  #closed(): string[] {
    return [...this.#blocks].filter(([, { isHeld, pending }]) => isHeld || pending > 0).map(([stream]) => stream)
  }
}

const newBlock = (): Block => ({
  fromSeq: Number.POSITIVE_INFINITY,
  unreadFrom: Number.POSITIVE_INFINITY,
  isHeld: false,
  heldIn: -1,
  pending: 0,
  changedIn: 0,
  seenIn: 0,
})
