import type { Accusation, BufferedMessage } from './buffered-message.ts'

/** The messages that a relay has in memory, counted in every way that somebody asks for. Pure; the backlog says who comes and goes. */
export class Memory {
  readonly #messages = new Map<number, BufferedMessage>()
  readonly #perLane = new Int32Array(64)
  /** Those that had waited, of each stream. */
  readonly #waited = new Map<string, number>()
  /** Of messages that left memory behind their suspended topics: the search for a culprit goes on when they come back. */
  readonly #accusations = new Map<number, Accusation>()
  #bytes = 0

  get count(): number {
    return this.#messages.size
  }

  get bytes(): number {
    return this.#bytes
  }

  countOf(lane: number): number {
    return this.#perLane[lane] ?? 0
  }

  has(seq: number): boolean {
    return this.#messages.has(seq)
  }

  /** Whether there is a message of the lane up to `seq`. */
  hasUpTo(lane: number, seq: number): boolean {
    for (const message of this.#messages.values()) if (message.lane === lane && message.seq <= seq) return true
    return false
  }

  all(): Iterable<BufferedMessage> {
    return this.#messages.values()
  }

  /** Streams of which something had waited. */
  waitedStreams(): Iterable<string> {
    return this.#waited.keys()
  }

  hasWaited(stream: string): boolean {
    return this.#waited.has(stream)
  }

  /** Seqs of what had waited, as a PostgreSQL array literal. */
  waitedSeqs(): string {
    const seqs: number[] = []
    if (this.#waited.size > 0) for (const { seq, hasWaited } of this.#messages.values()) if (hasWaited) seqs.push(seq)
    return `{${seqs.join(',')}}`
  }

  add(message: BufferedMessage): void {
    const { seq, lane, bytes, stream, hasWaited } = message
    this.#messages.set(seq, message)
    if (this.#accusations.size > 0) {
      this.recall(message)
      this.#accusations.delete(seq)
    }
    this.#bytes += bytes
    this.#perLane[lane] = (this.#perLane[lane] ?? 0) + 1
    if (hasWaited && stream !== null) this.#waited.set(stream, (this.#waited.get(stream) ?? 0) + 1)
  }

  delete({ seq, lane, bytes, stream, hasWaited }: BufferedMessage): void {
    if (!this.#messages.delete(seq)) return
    this.#bytes -= bytes
    this.#perLane[lane] = (this.#perLane[lane] ?? 0) - 1
    if (!hasWaited || stream === null) return
    const left = (this.#waited.get(stream) ?? 0) - 1
    if (left > 0) this.#waited.set(stream, left)
    else this.#waited.delete(stream)
  }

  /** Keeps what the message is accused of until it comes back. */
  keepAccusation({ seq, accusation }: BufferedMessage): void {
    if (accusation !== undefined) this.#accusations.set(seq, accusation)
  }

  /** It may have been accused before it left memory. */
  recall(message: BufferedMessage): void {
    const accusation = this.#accusations.get(message.seq)
    if (accusation !== undefined) message.accusation = accusation
  }

  /** Whoever else was accused is found again. */
  forgetAccusations(): void {
    this.#accusations.clear()
  }
}
