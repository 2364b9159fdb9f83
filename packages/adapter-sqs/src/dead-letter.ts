import { type Message, type MessageAttributeValue, SendMessageCommand, type SQSClient } from '@aws-sdk/client-sqs'
import type { DeadLetterReason } from '@malote/outbox-core'
import { describeError } from './classify.ts'
import { textAttribute } from './encode.ts'
import { isFifo } from './options.ts'

/** Attribute of a dead letter: JSON of a `DeadLetterNote`. */
export const deadLetterAttribute = 'malote-dead-letter'

export interface DeadLetterNote {
  readonly reason: DeadLetterReason
  /** Deliveries spent on the message. */
  readonly attempts: number
  /** The last error's name and words, cut to 200 characters. */
  readonly error: string
  /** Queue it was in. */
  readonly queue: string
}

/** Sends the message as it was, with the note in an attribute of its own, to the queue for dead letters. */
export async function sendDeadLetter(
  client: Pick<SQSClient, 'send'>,
  deadLetterQueueUrl: string,
  raw: Message,
  note: Omit<DeadLetterNote, 'error'> & { readonly error: unknown },
  signal: AbortSignal,
): Promise<void> {
  const { name, message } = describeError(note.error)
  const error = `${name}: ${message}`.slice(0, 200)
  await client.send(
    new SendMessageCommand({
      QueueUrl: deadLetterQueueUrl,
      MessageBody: raw.Body,
      MessageAttributes: withNote(raw.MessageAttributes ?? {}, { ...note, error }),
      ...fifoParts(deadLetterQueueUrl, raw),
    }),
    { abortSignal: signal },
  )
}

function withNote(
  attributes: Readonly<Record<string, MessageAttributeValue>>,
  note: DeadLetterNote,
): Record<string, MessageAttributeValue> {
  // Ours leave room for one more; of a foreign message's ten the last gives way, else SQS would refuse the letter for ever.
  const kept = Object.entries(attributes).filter(([name]) => name !== deadLetterAttribute)
  const json = JSON.stringify(note).replaceAll(
    /[^\u0020-\u007e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return { ...Object.fromEntries(kept.slice(0, 9)), [deadLetterAttribute]: textAttribute(json) }
}

function fifoParts(url: string, raw: Message): { MessageGroupId?: string; MessageDeduplicationId?: string } {
  if (!isFifo(url)) return {}
  const id = raw.MessageId ?? 'unknown'
  return {
    MessageGroupId: raw.Attributes?.MessageGroupId ?? id,
    MessageDeduplicationId: raw.Attributes?.MessageDeduplicationId ?? id,
  }
}
