import {
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  type Message,
  ReceiveMessageCommand,
  SendMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import {
  createRedriveCount,
  deadLetterHeader,
  type RedriveOptions,
  type RedriveReport,
} from '@malote/outbox-core/adapter'
import { deadLetterNoteOf, letterAttributes } from './dead-letter.ts'
import { isFifo } from './options.ts'

/** From which queue to which queue `redriveDeadLetters` brings dead letters, and which of them. */
export interface SqsRedriveOptions extends RedriveOptions {
  readonly client: Pick<SQSClient, 'send'>
  /** Queue that holds the dead letters. */
  readonly deadLetterQueueUrl: string
  /** Queue they go back to. */
  readonly queueUrl: string
}

/** Long enough for a look at everything; letters that stay are given back at the end. */
const visibilitySeconds = 600

/**
 * Brings dead letters back to their queue, where they start with a full count of attempts.
 *
 * A letter is deleted after the queue has it. Run again after a crash it sends no letter twice within five minutes to a FIFO queue, and at
 * worst once more elsewhere: the inbox knows such a copy. On a FIFO queue the letters of one group go back in order; those behind a letter that
 * stays are not seen, and stay too. A dry run sees of each group only what SQS hands over at once, ten at the most.
 *
 * @throws what the SDK throws; nothing is lost then
 */
export async function redriveDeadLetters(options: SqsRedriveOptions): Promise<RedriveReport> {
  const { client, deadLetterQueueUrl: QueueUrl, dryRun = false } = options
  const count = createRedriveCount(options)
  const kept: Message[] = []
  try {
    for (let letters = await receive(options); letters.length > 0; letters = await receive(options)) {
      for (const letter of letters) {
        const isTaken = count.takes(deadLetterNoteOf(letter))
        if (!isTaken || dryRun) kept.push(letter)
        else await bringBack(letter, options)
      }
      if (!count.hasRoom) break
    }
  } finally {
    // In order: SQS shows them by its own numbers.
    for (const { ReceiptHandle } of kept)
      await client.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 }))
  }
  return count.report()
}

async function receive({ client, deadLetterQueueUrl }: SqsRedriveOptions): Promise<readonly Message[]> {
  const answer = await client.send(
    new ReceiveMessageCommand({
      QueueUrl: deadLetterQueueUrl,
      MaxNumberOfMessages: 10,
      // Long polling asks every server that holds letters; without it an answer may be empty although there are some.
      WaitTimeSeconds: 1,
      VisibilityTimeout: visibilitySeconds,
      MessageAttributeNames: ['All'],
      MessageSystemAttributeNames: letterAttributes,
    }),
  )
  return answer.Messages ?? []
}

async function bringBack(letter: Message, { client, queueUrl, deadLetterQueueUrl }: SqsRedriveOptions): Promise<void> {
  const { [deadLetterHeader]: _, ...MessageAttributes } = letter.MessageAttributes ?? {}
  const group = groupOf(letter, isFifo(queueUrl), isFifo(deadLetterQueueUrl))
  const message = { QueueUrl: queueUrl, MessageBody: letter.Body, MessageAttributes, ...group }
  await client.send(new SendMessageCommand(message))
  await client.send(new DeleteMessageCommand({ QueueUrl: deadLetterQueueUrl, ReceiptHandle: letter.ReceiptHandle }))
}

/** Of a standard queue (a fair queue) the group is kept; what a FIFO queue for dead letters had to have is no group there. */
function groupOf(
  { Attributes, MessageId = '' }: Message,
  toFifo: boolean,
  fromFifo: boolean,
): { MessageGroupId?: string; MessageDeduplicationId?: string } {
  const group = Attributes?.MessageGroupId
  if (toFifo) return { MessageGroupId: group ?? MessageId, MessageDeduplicationId: `redrive-${MessageId}` }
  return group === undefined || fromFifo ? {} : { MessageGroupId: group }
}
