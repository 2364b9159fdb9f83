import type { Backlog } from '../../src/relay/backlog.ts'
import { pausedByOperator } from '../../src/relay/suspensions.ts'
import type { Row } from './model-broker.ts'
import { laneNumbers, type ModelTable, topics } from './model-table.ts'
import type { ShownBlock } from './shown-blocks.ts'

/** An operator who replays and discards dead letters, pauses topics and holds keys, each at any time. */
export class ModelOperator {
  readonly #random: () => number
  readonly #nowMs: () => number
  readonly #table: ModelTable
  /** Streams that are held by hand. */
  readonly #holds = new Map<string, 'new' | 'heard of'>()
  readonly #letters: { readonly row: Row; isHeld: boolean }[] = []

  constructor(random: () => number, nowMs: () => number, table: ModelTable) {
    this.#random = random
    this.#nowMs = nowMs
    this.#table = table
  }

  /** Stops something or lets it go on. @returns whether the relay hears at once of what is held */
  steer(backlog: Backlog, isWell: boolean): boolean {
    const topic = this.#table.randomTopic()
    const stream = `${topic} k${String(Math.floor(this.#random() * laneNumbers.length))}-0`
    const dice = this.#random()
    if (isWell) for (const paused of topics) backlog.resume(paused, pausedByOperator)
    else if (dice < 0.3) backlog.suspend(topic, pausedByOperator)
    else if (dice < 0.6) backlog.resume(topic, pausedByOperator)
    else if (dice < 0.8) this.#holds.set(stream, this.#holds.get(stream) ?? 'new')
    else this.#holds.delete(stream)
    if (isWell) this.#holds.clear()
    return isWell || dice > 0.7
  }

  /** Replays or discards a dead letter, or all of them. @returns whether the relay hears of it now, and not with its next look */
  decide(isWell: boolean): boolean {
    const at = Math.floor(this.#random() * this.#letters.length)
    const letters = this.#random() < 0.5 ? this.#letters.splice(0) : this.#letters.splice(at, 1)
    for (const letter of letters) {
      if (this.#random() > 0.8) continue
      // A replay that was decided later may have been written down before, and one that is put off comes later than those behind it.
      const dueMs = this.#nowMs() + Math.floor(this.#random() * 3) * 20
      const row = { ...letter.row, dueMs, attempts: 0, isUnnoticed: true }
      this.#table.rows.set(row.seq, row)
    }
    return isWell || (letters.length > 0 && this.#random() < 0.7)
  }

  bury(row: Row, isHeld: boolean): void {
    this.#letters.push({ row, isHeld })
  }

  /** Whether the relay knows that the stream is held: by a dead letter from its burial on, which it wrote down itself. */
  isKnownToHold(stream: string | null): boolean {
    if (stream === null) return false
    return (
      this.#holds.get(stream) === 'heard of' || this.#letters.some(({ row, isHeld }) => isHeld && row.stream === stream)
    )
  }

  /** All that is held, which the relay hears of by this. */
  heldStreams(): ShownBlock[] {
    const held = this.#letters.flatMap(({ row: { lane, stream, seq }, isHeld }) =>
      isHeld && stream !== null ? [{ lane, stream, seq, unread: null, held: true }] : [],
    )
    for (const stream of this.#holds.keys()) {
      held.push({ lane: Number(/k(\d)/.exec(stream)?.[1]), stream, seq: 0, unread: null, held: true })
      this.#holds.set(stream, 'heard of')
    }
    return held
  }
}
