import type { MessageId, OutboxMessage } from './message.ts'

/**
 * What an adapter must do to carry messages to a broker. The whole contract is this file and `publisherConformance`
 * in `@malote/outbox-core/testing`, which checks every sentence of it against a real broker.
 */
export interface Publisher {
  /** For events, metrics and error messages, for example `sqs`. */
  readonly name: string

  /**
   * Sends the batch and says what became of each message.
   *
   * - Any batch size, also 0. The adapter splits by the broker's limits and isolates a record that is too large.
   * - One result for each message, matched by `id`; the order of results means nothing.
   * - `accepted` only after the broker acknowledged durably.
   * - Within one topic and ordering key the accepted messages are a prefix of those given: once one is not accepted,
   *   none after it is sent (or it is reported as failed although the broker may have it: at least once, never out of order).
   * - Messages without a key, and different keys, do not wait for each other.
   *
   * When one destination takes nothing, for whatever reason that is not the message's, its messages are `failed` with
   * `kind: 'unavailable'` and the destination's name, and those to other destinations are sent as ever.
   *
   * When the broker goes away in the middle, after some were accepted, the rest is `failed` with `kind: 'retryable'` and
   * `code: 'CONNECTION_LOST'`: the relay counts an outage and no attempt.
   *
   * When `signal` aborts, resolves promptly with what is known by then; what is not known is `failed` with
   * `kind: 'retryable'` and `code: 'ABORTED'`.
   *
   * @throws PublishOutageError (or anything else): the broker as a whole is unreachable and nothing of this batch is known
   *   to be accepted. The relay pauses and spends no attempts.
   */
  publish(batch: readonly OutboxMessage[], signal: AbortSignal): Promise<readonly PublishResult[]>

  /**
   * For a publisher that leads to several brokers: the route of a topic, or null where it has none. The relay asks once for each
   * topic, never mixes routes in a batch, gives each its own places in flight and judges each by itself, so that one that is
   * away or hangs costs the others nothing. Leave it out where all topics go to one broker. See `createRoutingPublisher`.
   */
  routeOf?(topic: string): PublishRoute | null

  /** Waits for what is in flight, then releases only what the adapter itself opened. Calling it twice is harmless. */
  close(): Promise<void>
}

/** One of the ways that messages leave an outbox. */
export interface PublishRoute {
  /** For operators: outages name it. */
  readonly name: string
  /** Publishes under way at the same time on this route. @defaultValue the relay's option `concurrency` */
  readonly concurrency?: number
}

/**
 * What became of one message of a `publish`: the broker has it durably, or the reason why it may not have it. Every message that was given
 * gets one; a publisher answers for a message it is not sure of with `failed`, never with `accepted`.
 */
export type PublishResult =
  | { readonly id: MessageId; readonly status: 'accepted' }
  | { readonly id: MessageId; readonly status: 'failed'; readonly failure: PublishFailure }

/** Why one message was not accepted. The kind decides who pays for it. */
export type PublishFailure = MessageFailure | DestinationFailure

/** The message is at fault, now or for good. */
export interface MessageFailure extends FailureWords {
  /**
   * - `permanent`: no correctly configured broker would ever accept this message. It becomes a dead letter at once.
   * - `retryable`: this message, this time. It pays an attempt. When in doubt, this one.
   */
  readonly kind: 'retryable' | 'permanent'
}

/**
 * The destination is at fault: it is missing, forbidden, full, throttled or broken, and somebody can mend it. No message pays,
 * however long it lasts: the relay stops sending there, tries again now and then, and goes on with other destinations.
 */
export interface DestinationFailure extends FailureWords {
  readonly kind: 'unavailable'
  /** Names the destination for operators, the same text each time: a queue, an exchange with its routing key, a topic of the broker. */
  readonly destination: string
}

/** What every failure says. */
export interface FailureWords {
  /** Short and stable, for operators and metrics: the broker's own code or one of ours (`TOO_LARGE`, `ABORTED`, …). */
  readonly code: string
  /** The broker's words. Never the payload, never a secret. */
  readonly message: string
  /** The broker asked to wait at least this long, in milliseconds. */
  readonly retryAfterMs?: number
  readonly cause?: unknown
}
