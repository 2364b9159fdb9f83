import type { Backoff } from '../backoff.ts'
import type { BufferedMessage } from './buffer.ts'

/** A batch the publisher rejected as a whole. It is sent again in pieces, in its order, one piece at a time. */
export interface RejectedBatch {
  /** What is still to be sent; keyed messages in order. */
  items: readonly BufferedMessage[]
  /** Messages in the next piece. Halves with each rejection. */
  size: number
  /** How many batches had passed when it was rejected last. */
  passesAtRejection: number
}

/** Messages to publish now; `from` is what they were cut from. */
export interface Piece {
  readonly items: readonly BufferedMessage[]
  readonly from: RejectedBatch | null
}

export type Verdict =
  /** The broker is out of reach: nothing is sent for a while, nobody pays. */
  | { readonly kind: 'outage'; readonly retryInMs: number; readonly hasStarted: boolean }
  /** Other batches pass: the fault is inside. Smaller pieces will find it. */
  | { readonly kind: 'divided' }
  /** Alone, and rejected again while others passed: this message pays an attempt. */
  | { readonly kind: 'culprit'; readonly message: BufferedMessage }

/**
 * Tells a broker that is out of reach from a message that makes the publisher fail. Pure: time comes in as a number.
 *
 * Closed: everything goes. After a rejection: open, nothing goes until the pause is over, then one probe at a time; any
 * batch that passes closes it. Probes alternate between pieces of rejected batches and other messages, so that a message
 * that can never pass does not stand in the way of the proof that the broker is well.
 */
export class Outage {
  readonly #backoff: Backoff
  readonly #rejected: RejectedBatch[] = []
  #passes = 0
  #failures = 0
  #retryAtMs = 0
  #startedAtMs: number | null = null
  #isProbing = false
  #probesRejected = true

  constructor(backoff: Backoff) {
    this.#backoff = backoff
  }

  get isOpen(): boolean {
    return this.#startedAtMs !== null
  }

  /** When the next probe may go; meaningless while closed. */
  get retryAtMs(): number {
    return this.#retryAtMs
  }

  /** Orders with messages of rejected batches that wait to be sent again. */
  waitingOrders(): ReadonlySet<string> {
    const orders = new Set<string>()
    for (const batch of this.#rejected) {
      for (const { order } of batch.items) if (order !== null) orders.add(order)
    }
    return orders
  }

  /** The next piece to publish, or null when nothing may go or nothing is there. `fresh` gives other messages. */
  next(nowMs: number, fresh: () => readonly BufferedMessage[]): Piece | null {
    if (this.isOpen && (this.#isProbing || nowMs < this.#retryAtMs)) return null
    const wantsFresh = this.isOpen && !this.#probesRejected
    const piece = wantsFresh
      ? (this.#fresh(fresh) ?? this.#nextRejected())
      : (this.#nextRejected() ?? this.#fresh(fresh))
    if (piece === null) return null
    if (this.isOpen) {
      this.#isProbing = true
      this.#probesRejected = piece.from === null
    }
    return piece
  }

  /** The publisher answered. @returns how long the outage lasted that this ended, or null */
  passed(piece: Piece, nowMs: number): number | null {
    this.#passes++
    this.#failures = 0
    if (piece.from !== null) this.#giveBack(piece.from, piece.from.items.slice(piece.items.length))
    const startedAtMs = this.#startedAtMs
    this.#startedAtMs = null
    this.#isProbing = false
    return startedAtMs === null ? null : nowMs - startedAtMs
  }

  /** The publisher rejected. */
  rejected(piece: Piece, nowMs: number): Verdict {
    const othersPassed = piece.from !== null && this.#passes > piece.from.passesAtRejection
    const verdict = othersPassed ? this.#blame(piece) : this.#pause(nowMs)
    if (verdict.kind === 'culprit') {
      this.#giveBack(piece.from as RejectedBatch, (piece.from as RejectedBatch).items.slice(1))
    } else {
      const batch = piece.from ?? { items: piece.items, size: piece.items.length, passesAtRejection: 0 }
      batch.passesAtRejection = this.#passes
      this.#giveBack(batch, piece.items.length === 1 ? behindOthers(batch.items) : batch.items)
      batch.size = Math.ceil(piece.items.length / 2)
    }
    return verdict
  }

  /** The piece was not sent after all. It comes again, unless `isGone`. */
  withdrawn(piece: Piece, isGone: boolean): void {
    this.#isProbing = false
    if (isGone) return
    const batch = piece.from ?? { items: piece.items, size: piece.items.length, passesAtRejection: this.#passes }
    this.#giveBack(batch, batch.items)
  }

  /** Removes the messages from what waits to be sent again, and gives them back. */
  remove(isRemoved: (message: BufferedMessage) => boolean): readonly BufferedMessage[] {
    const removed: BufferedMessage[] = []
    for (const batch of this.#rejected) {
      removed.push(...batch.items.filter(isRemoved))
      batch.items = batch.items.filter((message) => !isRemoved(message))
    }
    return removed
  }

  #fresh(fresh: () => readonly BufferedMessage[]): Piece | null {
    const items = fresh()
    return items.length === 0 ? null : { items, from: null }
  }

  #nextRejected(): Piece | null {
    for (;;) {
      const batch = this.#rejected.shift()
      if (batch === undefined) return null
      if (batch.items.length > 0) return { items: batch.items.slice(0, batch.size), from: batch }
    }
  }

  /** At the tail: other rejected batches have their turn first. */
  #giveBack(batch: RejectedBatch, items: readonly BufferedMessage[]): void {
    batch.items = items
    if (items.length > 0) this.#rejected.push(batch)
  }

  #blame(piece: Piece): Verdict {
    const [alone] = piece.items
    if (this.#startedAtMs !== null) this.#isProbing = false
    return piece.items.length === 1 && alone !== undefined ? { kind: 'culprit', message: alone } : { kind: 'divided' }
  }

  #pause(nowMs: number): Verdict {
    const hasStarted = this.#startedAtMs === null
    // Batches that were already under way when the outage began say nothing new.
    if (hasStarted || this.#isProbing) {
      this.#failures++
      this.#retryAtMs = nowMs + this.#backoff(this.#failures)
    }
    this.#startedAtMs ??= nowMs
    this.#isProbing = false
    return { kind: 'outage', retryInMs: Math.max(0, this.#retryAtMs - nowMs), hasStarted }
  }
}

/** The first order moves behind the others, its own sequence kept: another message may prove that the broker is well. */
function behindOthers(items: readonly BufferedMessage[]): readonly BufferedMessage[] {
  const [first] = items
  if (first === undefined) return items
  const isSame = (message: BufferedMessage): boolean =>
    message === first || (first.order !== null && message.order === first.order)
  return [...items.filter((message) => !isSame(message)), ...items.filter(isSame)]
}
