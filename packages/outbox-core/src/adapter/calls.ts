import type { ConsumerStore } from '../consumer-store.ts'
import type { ReceivedMessage } from '../received-message.ts'
import type { MessageInHand } from './message-in-hand.ts'

/**
 * Counts the calls of the handler for one message. Without a store it counts here, from what the broker says. With a store it counts
 * over processes: the broker's word that it gave the message before is only a reason to look.
 *
 * A message that was delivered before may have been the death of a process, or only have lain beside the one that was. So its
 * next call is announced in the store first. When that call too never ends, the message is called alone from then on: only a
 * message that kills on its own runs out of attempts.
 */
export interface Calls {
  /** Number of the next call, from 1. */
  readonly attempt: number
  /** Calls that were counted, this process's too. */
  readonly spent: number
  readonly isHeld: boolean
  /** A call of it never ended: no other may run beside the next. */
  readonly mustBeAlone: boolean
  /** It has no call left, because processes died in its calls. */
  readonly isPoison: boolean
  /** Learns what the store knows. */
  look(): Promise<void>
  begin(): Promise<void>
  /** After a call that did not succeed. */
  ended(spends: boolean): Promise<void>
  /** The message was handled, or is dead. */
  forget(): Promise<void>
}

export function createCalls(
  store: ConsumerStore | null,
  inHand: Pick<MessageInHand, 'attempt' | 'isRedelivered'>,
  message: ReceivedMessage,
  maxAttempts: number,
  looksForHolds: boolean,
): Calls {
  return new CountedCalls(store, inHand, message, maxAttempts, looksForHolds)
}

class CountedCalls implements Calls {
  readonly #store: ConsumerStore | null
  readonly #message: ReceivedMessage
  readonly #maxAttempts: number
  readonly #looks: boolean
  readonly #wasDelivered: boolean
  #spent: number
  #unended = 0
  #isAnnounced = false
  #isKnown = false
  isHeld = false

  constructor(
    store: ConsumerStore | null,
    { attempt, isRedelivered = true }: Pick<MessageInHand, 'attempt' | 'isRedelivered'>,
    message: ReceivedMessage,
    maxAttempts: number,
    looksForHolds: boolean,
  ) {
    this.#store = store
    this.#message = message
    this.#maxAttempts = maxAttempts
    this.#wasDelivered = isRedelivered
    this.#looks = store !== null && (isRedelivered || looksForHolds)
    this.#spent = store === null ? attempt - 1 : 0
  }

  get attempt(): number {
    return this.#spent + 1
  }

  get spent(): number {
    return this.#spent
  }

  get mustBeAlone(): boolean {
    return this.#unended > 0
  }

  /** The very first call was not announced: where later ones killed, so did that. */
  get isPoison(): boolean {
    return this.#unended > 0 && this.#spent + 1 >= this.#maxAttempts
  }

  async look(): Promise<void> {
    if (!this.#looks || this.#store === null) return
    const { calls, unended, isHeld } = await this.#store.look(this.#message)
    this.#spent = calls
    this.#unended = unended
    this.#isKnown = calls > 0 || unended > 0
    this.isHeld = isHeld
  }

  async begin(): Promise<void> {
    this.#isAnnounced = this.#store !== null && (this.#wasDelivered || this.#spent > 0)
    if (!this.#isAnnounced) return
    await this.#store?.begin(this.#message.id)
    this.#isKnown = true
  }

  async ended(spends: boolean): Promise<void> {
    if (spends) this.#spent++
    if (this.#isAnnounced) await this.#store?.ended(this.#message.id, spends)
    else if (spends) {
      await this.#store?.count(this.#message.id, this.#spent)
      this.#isKnown = true
    }
  }

  async forget(): Promise<void> {
    if (this.#isKnown) await this.#store?.forget(this.#message.id)
  }
}
