import { type Backoff, exponentialBackoff } from '../backoff.ts'
import type { Clock } from '../clock.ts'
import type { ConsumerEvent } from '../consumer.ts'
import type { DeadLetterReason } from '../dead-letter-reason.ts'
import type { ReceivedMessage } from '../received-message.ts'
import { createLetter, smallerLetter } from './letters.ts'
import { type DeadLetter, DeadLetterTooLargeError, type MessageEnd, type MessageInHand } from './message-in-hand.ts'

/** Of everything that waits for the mend of a place it needs, below a second: what waits goes on soon after it. */
export const mendBackoff: Backoff = exponentialBackoff({ baseMs: 100, maxMs: 900 })

/** Why a message is dead; `message` is null when it could not be decoded. */
export interface Death {
  readonly message: ReceivedMessage | null
  readonly attempts: number
  readonly reason: DeadLetterReason
  readonly error: unknown
}

/** Of a message that died at an earlier delivery and comes back for its letter. */
export function deathOf(message: ReceivedMessage, { note }: DeadLetter): Death {
  return { message, attempts: note.attempts, reason: note.reason, error: new Error(note.error) }
}

/** What it takes beside the message. */
export interface Means {
  /** Aborts when nothing may begin any more. */
  readonly stop: AbortSignal
  readonly clock: Clock
  readonly report: (event: ConsumerEvent) => void
}

/**
 * Puts a dead message into the place for dead letters and acknowledges it, trying until the broker has the letter: a letter that is nowhere
 * would be a loss. Where the broker can keep the message meanwhile, it comes again instead (`retried`). Gives up, nothing lost, when the
 * consumer stops. Never rejects because of the broker.
 */
export async function putAway(
  inHand: MessageInHand,
  { message, attempts, reason, error }: Death,
  { stop, clock, report }: Means,
): Promise<MessageEnd> {
  const id = message?.id ?? null
  const messageType = message?.type ?? null
  let letter = inHand.letter ?? createLetter(inHand, message, attempts, reason, error)
  for (let failures = 0; !inHand.lost.aborted;) {
    try {
      await inHand.deadLetter(letter)
      if (!(await inHand.acknowledge())) return 'left'
      report({ type: 'message.dead-lettered', id, messageType, attempt: attempts, reason, error })
      return 'settled'
    } catch (failure) {
      if (failure instanceof DeadLetterTooLargeError && letter.form !== 'stub') {
        letter = smallerLetter(letter)
        continue
      }
      const deferredMs = inHand.ending.aborted ? null : ((await inHand.defer?.(letter)) ?? null)
      const retryInMs = deferredMs ?? mendBackoff(++failures)
      report({ type: 'message.dead-letter-failed', id, error: failure, retryInMs })
      if (deferredMs !== null) return 'retried'
      if (inHand.ending.aborted) return 'left'
      await clock.sleep(retryInMs, stop)
    }
  }
  return 'left'
}
