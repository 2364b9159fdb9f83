import { randomUUID } from 'node:crypto'
import type { DeadLetterReason } from '../dead-letter-reason.ts'
import type { ReceivedMessage } from '../received-message.ts'
import type { DeadLetter, DeadLetterForm, MessageInHand } from './message-in-hand.ts'
import { systemClock } from '../clock.ts'

/** The first, whole letter of a message. */
export function createLetter(
  { source, position, topic }: Pick<MessageInHand, 'source' | 'position' | 'topic'>,
  message: ReceivedMessage | null,
  attempts: number,
  reason: DeadLetterReason,
  error: unknown,
): DeadLetter {
  const words = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  const note = {
    reason,
    attempts,
    error: words,
    source,
    topic: message?.topic ?? topic,
    at: new Date(systemClock.wallMs()).toISOString(),
  }
  return { id: randomUUID(), note: position === undefined ? note : { ...note, position }, form: 'whole' }
}

/** The next form that takes less room. */
export function smallerLetter({ id, note, form }: DeadLetter): DeadLetter {
  const next = smallerForm[form]
  if (next === 'headless') return { id, note: { ...note, omitted: ['headers'] }, form: next }
  if (next === 'stub') return { id, note: { ...note, omitted: ['headers', 'body'] }, form: next }
  return { id, note, form: next }
}

const smallerForm: Readonly<Record<DeadLetterForm, DeadLetterForm>> = {
  whole: 'bare',
  bare: 'headless',
  headless: 'stub',
  stub: 'stub',
}
