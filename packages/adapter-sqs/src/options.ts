import type { Message, SQSClient } from '@aws-sdk/client-sqs'
import type { ConsumerOptions, ForeignMessage } from '@malote/outbox-core'
import {
  invalidOption,
  numberOption,
  type ResolvedConsumerOptions,
  resolveConsumerOptions,
} from '@malote/outbox-core/adapter'

/**
 * Where a topic's messages go: a table, or a function that may answer undefined for a topic it does not know. A function may look at the
 * ordering key, to spread a topic over several queues (`shardOf`): messages of one key must always go the same way, or their order is lost.
 */
export type Destinations =
  | Readonly<Record<string, string>>
  | ((topic: string, orderingKey: string | null) => string | undefined)

/** `unicode`: everything AWS documents. `bmp`: nothing beyond U+FFFF. */
export type Characters = 'unicode' | 'bmp'

/** What the SQS and the SNS publisher have in common. */
export interface BatchPublisherOptions {
  /** CloudEvents `source` of every message: which application speaks, for example `/brokerage/orders`. @defaultValue "/malote" */
  readonly source?: string
  /**
   * What order per key is worth on a FIFO destination.
   *
   * AWS takes or refuses each entry of a request on its own: a refused entry does not stop the ones behind it. `strict`
   * therefore sends one message of a group at a time and the next only after it was accepted; different groups still share
   * requests. `fast` sends up to ten of a group in one request: up to ten times the rate on a hot key, and when AWS refuses
   * one of them the later ones have overtaken it for good. Standard queues promise no order and always batch.
   *
   * @defaultValue "strict": order was promised
   */
  readonly ordering?: 'strict' | 'fast'
  /**
   * Characters that the endpoint takes in bodies and attributes. Text with others travels as base64, which our consumers read
   * and others do not. `bmp` is for emulators that refuse emoji, as AWS once did.
   *
   * @defaultValue "unicode": what AWS takes
   */
  readonly characters?: Characters
  /** Requests under way at the same time, over all `publish` calls. @defaultValue 16: a third of the SDK's 50 sockets */
  readonly concurrency?: number
  /**
   * Largest message, body and attributes together, in bytes. A larger one is refused unsent: store the payload elsewhere
   * and send a reference. It is refused for good when the service can never take it, and otherwise, as for an SNS topic that could be raised to
   * 1 MiB, as retryable: raise this option together with the topic.
   *
   * @defaultValue the service's documented limit less 1 KiB, which is the room the reason of a dead letter needs
   */
  readonly maxMessageBytes?: number
  /** Largest request, the sum of its messages, in bytes. @defaultValue the service's documented limit */
  readonly maxBatchBytes?: number
}

/** With which client `createSqsPublisher` sends, and to which queue each topic goes. */
export interface SqsPublisherOptions extends BatchPublisherOptions {
  /** Ready to use: credentials, region, retries and timeouts are yours. Never closed by the publisher. */
  readonly client: Pick<SQSClient, 'send'>
  /** Queue URL of each topic. A URL that ends in `.fifo` is a FIFO queue. */
  readonly queueUrl: Destinations
}

/** With which client and from which queue `createSqsConsumer` receives, and where dead letters go. */
export interface SqsConsumerOptions extends ConsumerOptions {
  /** Ready to use: credentials, region, retries and timeouts are yours. Never closed by the consumer. */
  readonly client: Pick<SQSClient, 'send'>
  /** Queue to receive from. A URL that ends in `.fifo` is a FIFO queue: order per group, over all consumers. */
  readonly queueUrl: string
  /**
   * Queue that takes dead letters: the message as it was, and attribute `malote-dead-letter` with reason, attempts and error.
   *
   * A redrive policy of the receiving queue itself counts deliveries, not attempts, and gives no reason: leave it out, or set
   * its `maxReceiveCount` far above `maxAttempts`.
   */
  readonly deadLetterQueueUrl: string
  /** `message.topic` of everything received. @defaultValue the topic its publisher named; the queue's name where none did */
  readonly topic?: string
  /**
   * Reads messages that no publisher of ours sent and that are no CloudEvents; null leaves the message to the adapter. A message it throws
   * for becomes a dead letter.
   */
  readonly decode?: (message: Message) => ForeignMessage | null
  /**
   * How long SQS keeps a message from others while a handler has it, in milliseconds; extended for as long as the handler runs.
   *
   * It is also how long the messages of a crashed consumer stay away. SQS counts in seconds and rounds nothing: it is rounded up here.
   *
   * @defaultValue 30_000: three missed extensions, ten seconds apart
   */
  readonly visibilityTimeoutMs?: number
  /** How long one request waits for messages, in milliseconds, up to 20_000. @defaultValue 20_000: the fewest requests to pay for */
  readonly waitTimeMs?: number
}

/** Documented for SQS since August 2025, per message and per request alike. */
export const sqsMaxBytes: number = 1_048_576
/** What SNS takes unless told otherwise, per message and per request alike. */
export const snsMaxBytes: number = 262_144
/** What an SNS topic can be raised to. */
export const snsRaisedMaxBytes: number = 1_048_576
/** What a dead letter's reason may add to a message. */
const deadLetterReserveBytes: number = 1_024

export interface ResolvedBatchOptions {
  readonly source: string
  readonly ordering: 'strict' | 'fast'
  readonly characters: Characters
  readonly concurrency: number
  readonly maxMessageBytes: number
  readonly maxBatchBytes: number
}

/** @throws OutboxError `INVALID_OPTION` */
export function resolveBatchOptions(options: BatchPublisherOptions, serviceMaxBytes: number): ResolvedBatchOptions {
  const { ordering = 'strict', characters = 'unicode' } = options
  if (characters !== 'unicode' && characters !== 'bmp')
    throw invalidOption('characters', characters, '"unicode" or "bmp"')
  if (ordering !== 'strict' && ordering !== 'fast') throw invalidOption('ordering', ordering, '"strict" or "fast"')
  const usualBatchBytes = Math.max(serviceMaxBytes, (options.maxMessageBytes ?? 0) + deadLetterReserveBytes)
  const maxBatchBytes = numberOption('maxBatchBytes', options.maxBatchBytes, usualBatchBytes, { min: 1_024 })
  return {
    source: options.source ?? '/malote',
    ordering,
    characters,
    concurrency: numberOption('concurrency', options.concurrency, 16, { min: 1 }),
    maxBatchBytes,
    maxMessageBytes: numberOption(
      'maxMessageBytes',
      options.maxMessageBytes,
      serviceMaxBytes - deadLetterReserveBytes,
      {
        min: 1,
        max: maxBatchBytes,
      },
    ),
  }
}

export interface ResolvedSqsConsumer extends ResolvedConsumerOptions {
  readonly client: Pick<SQSClient, 'send'>
  readonly queueUrl: string
  readonly deadLetterQueueUrl: string
  /** The queue's name. */
  readonly queue: string
  readonly topic: string | null
  readonly decode: ((message: Message) => ForeignMessage | null) | null
  readonly visibilityTimeoutMs: number
  readonly waitTimeMs: number
}

/** @throws OutboxError `INVALID_OPTION` */
export function resolveSqsConsumerOptions(options: SqsConsumerOptions): ResolvedSqsConsumer {
  const { client, queueUrl, deadLetterQueueUrl } = options
  const range = { min: 1_000, max: 43_200_000 }
  if (options.afterDeadLetter === 'hold' && !isFifo(queueUrl))
    throw invalidOption(
      'afterDeadLetter',
      'hold',
      '"skip" on a standard queue: it gives no stream in order, so none can be held',
    )
  const visibilityTimeoutMs = numberOption('visibilityTimeoutMs', options.visibilityTimeoutMs, 30_000, range)
  return {
    ...resolveConsumerOptions(options),
    client,
    queueUrl: queueUrlOption('queueUrl', queueUrl),
    deadLetterQueueUrl: queueUrlOption('deadLetterQueueUrl', deadLetterQueueUrl),
    queue: queueUrl.slice(queueUrl.lastIndexOf('/') + 1),
    topic: options.topic ?? null,
    decode: options.decode ?? null,
    visibilityTimeoutMs: Math.ceil(visibilityTimeoutMs / 1_000) * 1_000,
    waitTimeMs: numberOption('waitTimeMs', options.waitTimeMs, 20_000, { min: 0, max: 20_000 }),
  }
}

function queueUrlOption(name: string, url: unknown): string {
  if (typeof url !== 'string' || !URL.canParse(url)) throw invalidOption(name, url, 'the URL of a queue')
  return url
}

export function resolveDestinations(
  destinations: Destinations,
): (topic: string, orderingKey: string | null) => string | undefined {
  if (typeof destinations === 'function') return destinations
  return (topic) => (Object.hasOwn(destinations, topic) ? destinations[topic] : undefined)
}

export const isFifo = (destination: string): boolean => destination.endsWith('.fifo')
