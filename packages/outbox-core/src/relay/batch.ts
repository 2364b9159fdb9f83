import type { BufferedMessage } from './buffered-message.ts'

/** What one publish may hold. The first message always fits: alone, if it must be. */
export class Batch {
  readonly messages: BufferedMessage[] = []
  readonly #ids = new Set<string>()
  readonly #maxMessages: number
  #bytesLeft: number

  constructor(maxMessages: number, maxBytes: number) {
    this.#maxMessages = maxMessages
    this.#bytesLeft = maxBytes
  }

  get length(): number {
    return this.messages.length
  }

  /** Results are matched by id: of two messages with one id (to two topics, say) nobody could tell whose result it is. */
  fits({ bytes, message }: BufferedMessage, maxMessages: number = this.#maxMessages): boolean {
    if (this.messages.length >= maxMessages) return false
    return this.messages.length === 0 || (bytes <= this.#bytesLeft && !this.#ids.has(message.id))
  }

  push(message: BufferedMessage): void {
    this.messages.push(message)
    this.#ids.add(message.message.id)
    this.#bytesLeft -= message.bytes
  }
}

/** Messages that are published together although some allow only few beside them. */
export class Group {
  readonly #batch: Batch
  #limit = Number.POSITIVE_INFINITY

  constructor(batch: Batch) {
    this.#batch = batch
  }

  /** Takes the message in, unless the group would become larger than it or one of its members allows. */
  takes(message: BufferedMessage, allowed: number): boolean {
    const limit = Math.min(this.#limit, allowed)
    if (this.#batch.length >= limit || !this.#batch.fits(message)) return false
    this.#limit = limit
    this.#batch.push(message)
    return true
  }
}
