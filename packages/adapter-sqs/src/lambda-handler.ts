import type { Message, SQSClient } from '@aws-sdk/client-sqs'
import type { ConsumerOptions, DeadLetterReason, Delivery, ForeignMessage, ReceivedMessage } from '@malote/outbox-core'
import {
  abortAfter,
  createKeyedQueue,
  createLetter,
  DeadLetterTooLargeError,
  failureOf,
  type Received,
  receivedOf,
  resolveConsumerOptions,
  type ResolvedConsumerOptions,
  smallerLetter,
  systemClock,
} from '@malote/outbox-core/adapter'
import { sendDeadLetter } from './dead-letter.ts'
import { decodeAny } from './decode.ts'
import { isFifo } from './options.ts'

/** The part of AWS's event for an SQS event source that is used. */
export interface SqsLambdaEvent {
  readonly Records: readonly SqsLambdaRecord[]
}

/** One message of the event that AWS Lambda calls a function with. Written down here so that the package needs no types of AWS Lambda; theirs fit. */
export interface SqsLambdaRecord {
  readonly messageId: string
  readonly receiptHandle: string
  readonly body: string
  readonly attributes: Readonly<Record<string, string | undefined>>
  readonly messageAttributes: Readonly<Record<string, { readonly stringValue?: string; readonly dataType: string }>>
  readonly eventSourceARN: string
}

/** What AWS wants to hear with `ReportBatchItemFailures`: these come again, all others are deleted. */
export interface SqsLambdaResponse {
  readonly batchItemFailures: readonly { readonly itemIdentifier: string }[]
}

/** What `createLambdaHandler` calls for each message, and where dead letters go. The options that every consumer has mean the same here. */
export interface LambdaHandlerOptions extends Pick<
  ConsumerOptions,
  'handler' | 'concurrency' | 'maxAttempts' | 'isOutage' | 'onEvent'
> {
  /**
   * Where a message goes that can never be handled, or failed `maxAttempts` times: as with `createSqsConsumer`, with its note. Without it such
   * a message is reported as failed until the queue's own redrive policy takes it, so give the queue one.
   */
  readonly deadLetters?: { readonly client: Pick<SQSClient, 'send'>; readonly queueUrl: string }
  /** `message.topic` of everything received. @defaultValue the topic its publisher named; the queue's name where none did */
  readonly topic?: string
  /** As `SqsConsumerOptions.decode`. */
  readonly decode?: (message: Message) => ForeignMessage | null
}

/** Left of the function's time when handlers are told to stop, in milliseconds: enough to answer. */
const answerMs = 1_000

/**
 * A handler for a Lambda function with an SQS event source. Turn `ReportBatchItemFailures` on: without it AWS deletes the whole batch or nothing.
 *
 * On a FIFO queue the messages of a group are handled in order, and none after the first that is not handled: those are reported as failed
 * with it. On a standard queue each stands for itself. Messages come again after the queue's visibility timeout: there is no backoff.
 * Attempts are SQS's count of receives. An outage of what the handler needs dead-letters nothing, whatever the count.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export function createLambdaHandler(
  options: LambdaHandlerOptions,
): (event: SqsLambdaEvent, context?: { getRemainingTimeInMillis(): number }) => Promise<SqsLambdaResponse> {
  const resolved = resolveConsumerOptions({ concurrency: 10, ...options })
  return async ({ Records }, context) => {
    const ending = new AbortController()
    const cancel =
      context === undefined
        ? undefined
        : systemClock.after(Math.max(0, context.getRemainingTimeInMillis() - answerMs), () =>
            ending.abort(new Error('the time of the function is nearly over')),
          )
    try {
      return { batchItemFailures: await handleBatch(Records, options, resolved, ending.signal) }
    } finally {
      cancel?.()
    }
  }
}

async function handleBatch(
  records: readonly SqsLambdaRecord[],
  options: LambdaHandlerOptions,
  resolved: ResolvedConsumerOptions,
  ending: AbortSignal,
): Promise<{ itemIdentifier: string }[]> {
  const queue = createKeyedQueue(resolved.concurrency)
  const stopped = new Set<string>()
  const handled = await Promise.all(
    records.map((record) => {
      const group = isFifo(record.eventSourceARN) ? (record.attributes['MessageGroupId'] ?? '') : null
      return queue.run(group, async () => {
        if (ending.aborted || (group !== null && stopped.has(group))) return false
        const isHandled = await orAborted(handleOne(record, options, resolved, ending), ending)
        if (!isHandled && group !== null) stopped.add(group)
        return isHandled
      })
    }),
  )
  return records.filter((_, index) => handled[index] !== true).map(({ messageId }) => ({ itemIdentifier: messageId }))
}

/** A handler that ignores its signal must not cost the answer for the whole batch. */
function orAborted(work: Promise<boolean>, ending: AbortSignal): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => resolve(false)
    ending.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(() => ending.removeEventListener('abort', onAbort))
  })
}

/** False: the message must come again. */
async function handleOne(
  record: SqsLambdaRecord,
  options: LambdaHandlerOptions,
  resolved: ResolvedConsumerOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const { report } = resolved
  const raw = messageOf(record)
  const queue = record.eventSourceARN.slice(record.eventSourceARN.lastIndexOf(':') + 1)
  const { decode = null, topic = null } = options
  const received: Received = receivedOf(() => decodeAny(raw, { decode, topic, queue }))
  const attempt = Number(record.attributes['ApproximateReceiveCount'] ?? 1)
  const { message } = received
  const place = { source: queue, position: record.messageId, topic: topic ?? queue }
  const bury = (reason: DeadLetterReason, error: unknown): Promise<boolean> =>
    deadLetter(raw, message, createLetter(place, message, attempt, reason, error), record, options, resolved)
  if (message === null) return bury('UNDECODABLE', received.error)
  const { id, type: messageType } = message
  const startedMs = systemClock.monotonicMs()
  try {
    const delivery: Delivery = { message, attempt, signal }
    await resolved.handler(delivery)
    report({ type: 'message.handled', id, messageType, attempt, ms: systemClock.monotonicMs() - startedMs })
    return true
  } catch (error) {
    if (signal.aborted) return false
    const verdict = failureOf(error, attempt, resolved)
    if (verdict.kind === 'dead') return bury(verdict.reason, error)
    if (verdict.kind === 'outage') report({ type: 'message.outage', id, messageType, attempt, error })
    else if (verdict.kind === 'unknown-type')
      report({ type: 'message.unknown-type', id, messageType, retryInMs: verdict.inMs })
    else report({ type: 'message.failed', id, messageType, attempt, error, retryInMs: verdict.inMs })
    return false
  }
}

async function deadLetter(
  raw: Message,
  message: ReceivedMessage | null,
  whole: ReturnType<typeof createLetter>,
  record: SqsLambdaRecord,
  { deadLetters }: LambdaHandlerOptions,
  { report }: ResolvedConsumerOptions,
): Promise<boolean> {
  if (deadLetters === undefined) return false
  const { client, queueUrl: deadLetterQueueUrl } = deadLetters
  const { reason, attempts: attempt, error } = whole.note
  const id = message?.id ?? null
  for (let letter = whole; ;) {
    try {
      const places = { queueUrl: record.eventSourceARN, deadLetterQueueUrl }
      await sendDeadLetter(client, places, raw, letter, abortAfter(5_000))
      report({ type: 'message.dead-lettered', id, messageType: message?.type ?? null, attempt, reason, error })
      return true
    } catch (failure) {
      if (failure instanceof DeadLetterTooLargeError && letter.form !== 'stub') letter = smallerLetter(letter)
      else {
        report({ type: 'message.dead-letter-failed', id, error: failure, retryInMs: 0 })
        return false
      }
    }
  }
}

/** As the SDK would have received it. */
function messageOf(record: SqsLambdaRecord): Message {
  const attributes = Object.entries(record.messageAttributes).map(([name, { stringValue, dataType }]) => [
    name,
    { DataType: dataType, ...(stringValue === undefined ? {} : { StringValue: stringValue }) },
  ])
  return {
    MessageId: record.messageId,
    ReceiptHandle: record.receiptHandle,
    Body: record.body,
    Attributes: record.attributes,
    MessageAttributes: Object.fromEntries(attributes) as NonNullable<Message['MessageAttributes']>,
  }
}
