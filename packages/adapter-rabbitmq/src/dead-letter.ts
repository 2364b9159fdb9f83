import type { ConsumeMessage } from 'amqplib'
import type { DeadLetterReason, MessageId } from '@malote/outbox-core'
import { systemClock } from '@malote/outbox-core/adapter'
import type { Attendance } from './attend.ts'
import { attemptOf, notes } from './decode.ts'
import type { Session } from './session.ts'

export interface DeadLetter {
  /** Null when it is no message of ours. */
  readonly id: MessageId | null
  readonly topic: string
  readonly attempt: number
  readonly reason: DeadLetterReason
  readonly error: unknown
}

/**
 * Moves the message to the dead-letter queue and only then acknowledges it. Tries until it is moved, or goes back to the queue
 * because the session is over or the consumer stops.
 *
 * @returns whether it was moved
 */
export async function deadLetter(
  raw: ConsumeMessage,
  { id, topic, attempt, reason, error }: DeadLetter,
  session: Session,
  { options, mover, draining }: Attendance,
): Promise<boolean> {
  const { deadLetterQueue, queue, report, reconnectBackoff } = options
  const written = {
    [notes.topic]: topic,
    [notes.attempts]: attempt,
    [notes.reason]: reason,
    [notes.error]: wordsOf(error),
    [notes.queue]: queue,
  }
  for (let failures = 1; !session.over.aborted; failures++) {
    try {
      await mover.move(raw, deadLetterQueue, written)
      session.acknowledge(raw)
      return true
    } catch (moveError) {
      const retryInMs = reconnectBackoff(failures)
      report({ type: 'message.dead-letter-failed', id, error: moveError, retryInMs })
      if (draining.aborted) return false
      await systemClock.sleep(retryInMs, AbortSignal.any([session.over, draining]))
    }
  }
  return false
}

/** For what no handler can be called with. */
export async function deadLetterUndecodable(
  raw: ConsumeMessage,
  error: unknown,
  session: Session,
  attendance: Attendance,
): Promise<void> {
  const attempt = attemptOf(raw)
  const letter: DeadLetter = { id: null, topic: raw.fields.routingKey, attempt, reason: 'UNDECODABLE', error }
  if (!(await deadLetter(raw, letter, session, attendance))) return
  const { id, reason } = letter
  attendance.options.report({ type: 'message.dead-lettered', id, messageType: null, attempt, reason, error })
}

/** Name and message only: causes and stacks may be long and are for logs. */
function wordsOf(error: unknown): string {
  const words = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  return words.slice(0, 500)
}
