import {
  type Message,
  type MessageAttributeValue,
  type MessageSystemAttributeName,
  SendMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import { type DeadLetterNote, readDeadLetterNote } from '@malote/outbox-core'
import {
  type DeadLetter,
  deadLetterHeader,
  DeadLetterTooLargeError,
  encodeDeadLetterNote,
} from '@malote/outbox-core/adapter'
import { describeError } from './classify.ts'
import { textAttributes } from './decode.ts'
import { sizeOf, textAttribute, topicAttribute } from './encode.ts'
import { isFifo, sqsMaxBytes } from './options.ts'

/** SQS allows this many attributes on a message. */
const maxAttributes = 10

/** An empty body is refused. */
const stubBody = '(left out: see the attribute malote-dead-letter)'

/**
 * Sends the letter to the queue for dead letters.
 *
 * @throws DeadLetterTooLargeError when the queue takes no message of that size, and whatever the SDK throws
 */
export async function sendDeadLetter(
  client: Pick<SQSClient, 'send'>,
  { queueUrl, deadLetterQueueUrl }: { readonly queueUrl: string; readonly deadLetterQueueUrl: string },
  raw: Message,
  letter: DeadLetter,
  signal: AbortSignal,
): Promise<void> {
  const MessageAttributes = attributesOf(raw, letter)
  const MessageBody = letter.form === 'stub' ? stubBody : raw.Body
  if (Object.keys(MessageAttributes).length > maxAttributes)
    throw new DeadLetterTooLargeError('with the note it has more than ten attributes')
  if (sizeOf(MessageBody ?? '', MessageAttributes) > sqsMaxBytes)
    throw new DeadLetterTooLargeError(`with the note it has more than ${String(sqsMaxBytes)} bytes`)
  const group = groupParts(raw, letter.id, isFifo(queueUrl), isFifo(deadLetterQueueUrl))
  const message = { QueueUrl: deadLetterQueueUrl, MessageBody, MessageAttributes, ...group }
  try {
    await client.send(new SendMessageCommand(message), { abortSignal: signal })
  } catch (error) {
    if (!isTooLarge(error)) throw error
    throw new DeadLetterTooLargeError('the queue for dead letters takes no message of that size', { cause: error })
  }
}

/** Those of the message, as far as the form allows, and the note. A note of an earlier death is no more true. */
function attributesOf(raw: Message, { note, form }: DeadLetter): Record<string, MessageAttributeValue> {
  const written = form === 'bare' ? {} : { [deadLetterHeader]: textAttribute(encodeDeadLetterNote(note)) }
  if (form === 'headless' || form === 'stub') return written
  const kept = Object.entries(raw.MessageAttributes ?? {}).filter(([name]) => name !== deadLetterHeader)
  return { ...Object.fromEntries(kept), ...written }
}

/**
 * A deduplication id of its own: two services that share a queue for dead letters each keep their letter of one message, and a
 * message that was brought back and fails again has another. The group of a standard queue (a fair queue) is kept.
 */
function groupParts(
  raw: Message,
  letterId: string,
  fromFifo: boolean,
  toFifo: boolean,
): { MessageGroupId?: string; MessageDeduplicationId?: string } {
  const group = raw.Attributes?.MessageGroupId
  if (toFifo) return { MessageGroupId: group ?? letterId, MessageDeduplicationId: letterId }
  return group === undefined || fromFifo ? {} : { MessageGroupId: group }
}

/** SQS has one code for every wrong parameter, and says in words that it is the size. */
function isTooLarge(error: unknown): boolean {
  const { name, message } = describeError(error)
  return /TooLong|TooLarge/.test(name) || /shorter than|too long|too large/i.test(message)
}

/** What SQS must be asked for with a dead letter: its group, and whether SQS moved it there itself. */
export const letterAttributes: MessageSystemAttributeName[] = [
  'MessageGroupId',
  'DeadLetterQueueSourceArn',
  'ApproximateFirstReceiveTimestamp',
]

/**
 * Why a message of a dead-letter queue is there: the note that a consumer wrote, or, where SQS put the message away itself by the queue's redrive
 * policy, one made of what SQS says. Ask SQS for all attributes. Null for a message that came another way.
 *
 * A note that a tool has left on a message when it brought it back is of an earlier death.
 */
export function deadLetterNoteOf(letter: Message): DeadLetterNote | null {
  const attributes = textAttributes(letter.MessageAttributes)
  const note = readDeadLetterNote(attributes)
  const { DeadLetterQueueSourceArn: arn, ApproximateFirstReceiveTimestamp: receivedMs = '' } = letter.Attributes ?? {}
  if (arn === undefined) return note
  const source = arn.slice(arn.lastIndexOf(':') + 1)
  // From elsewhere than where the note was written: SQS moved the letter on from one dead-letter queue to the next.
  if (note !== null && note.source !== source) return note
  return {
    reason: 'DELIVERY_LIMIT',
    attempts: 0, // SQS counts deliveries, and a delivery need not have been an attempt.
    error: "SQS: the redrive policy's maxReceiveCount was exceeded",
    source,
    topic: attributes[topicAttribute] ?? source,
    at: new Date(Number(receivedMs)).toISOString(),
  }
}
