import type { ReceivedMessage } from '../received-message.ts'
import type { DeadLetterNote } from '../dead-letter-note.ts'

/** What came out of decoding: a message, or why it is none. */
export type Received =
  | { readonly message: ReceivedMessage; readonly error?: undefined }
  | { readonly message: null; readonly error: unknown }

/** Decodes without throwing. */
export function receivedOf(decode: () => ReceivedMessage): Received {
  try {
    return { message: decode() }
  } catch (error) {
    return { message: null, error }
  }
}

/** One message on its way through a consumer, and how its broker is told what became of it. */
export interface MessageInHand {
  readonly received: Received
  /** Which attempt the next call of the handler is, from 1. */
  readonly attempt: number
  /** Whether the broker may have given the message before, to whatever process. @defaultValue true: to be on the safe side */
  readonly isRedelivered?: boolean
  /** Set for messages that come out of a held stream. */
  readonly isReleased?: true
  /** Set when the message is dead, and comes back only because the place for dead letters did not take its letter: no handler is called. */
  readonly letter?: DeadLetter
  /**
   * What waits behind the message in its stream, in order: the very objects that will be processed in their turn. Asked when a handler that
   * takes streams in batches is about to be called. Absent: such a handler is given one message at a time.
   */
  behind?(): Iterable<MessageInHand>
  /** True: a handler is called with the message before its turn, so it must not be given back. False: it was not applied, and waits as before. */
  taken?(isTaken: boolean): void
  /** Called when the message became the head of its held stream. */
  onHeld?(): void | Promise<void>
  /** Handed to the handler beside `message`, `attempt` and `signal`. */
  readonly extras?: Readonly<Record<string, unknown>>
  /** Where the message is, for its dead letter. */
  readonly source: string
  readonly position?: string
  /** `message.topic` when the message could not be decoded. */
  readonly topic: string
  /** Aborts when the message is no longer ours: nothing can be told to the broker any more. */
  readonly lost: AbortSignal
  /** Aborts when no handler may begin any more: the consumer stops. */
  readonly ending: AbortSignal
  /** Aborts when a running handler must give up, and what it did afterwards counts no more. */
  readonly graceOver?: AbortSignal
  /** Resolves with whether the broker took it. */
  acknowledge(): boolean | Promise<boolean>
  /**
   * Has the broker give the message again after a pause. Absent, or false: the message waits here.
   *
   * @param spent - attempts that the message has paid for
   */
  retry?(inMs: number, spent: number): boolean | Promise<boolean>
  /**
   * Puts the letter into the place for dead letters and resolves when the broker has it; called again until then.
   *
   * @throws DeadLetterTooLargeError: the letter is then tried in a smaller form
   */
  deadLetter(letter: DeadLetter): Promise<void>
  /**
   * Has the broker keep a message whose letter found no place, and give it again, with the letter, after a pause: so it takes no room from
   * messages that can be handled. Absent, or null: it waits here, and what follows it in its stream behind it.
   *
   * @returns the pause in milliseconds, once the broker has the message, or null when the broker cannot keep it
   */
  readonly defer?: (letter: DeadLetter) => Promise<number | null>
}

/** A dead letter on its way to the place for dead letters: an id, why it died, and how much of the message it carries. */
export interface DeadLetter {
  /** Another for each letter and the same for each try: where the broker forgets repetitions, it must forget these and no others. */
  readonly id: string
  readonly note: DeadLetterNote
  readonly form: DeadLetterForm
}

/**
 * What the letter carries of the message. `whole`: everything and the note. `bare`: everything that can be put there without the note.
 * `headless`: the body, and of the headers only the note. `stub`: the note alone, which points to where the message was.
 */
export type DeadLetterForm = 'whole' | 'bare' | 'headless' | 'stub'

/** An adapter throws it for a dead letter that can never fit: it is tried again with less of the message in it. */
export class DeadLetterTooLargeError extends Error {
  override readonly name = 'DeadLetterTooLargeError'
}

/** `settled`: acknowledged, because it was handled, dead-lettered or parked in the store. `retried`: the broker gives it again. `left`: neither, it is still where it was. */
export type MessageEnd = 'settled' | 'retried' | 'left'
