import type { ConsumerStore } from './consumer-store.ts'
import type { DeadLetterReason } from './dead-letter-reason.ts'
import type { MessageId } from './message.ts'
import type { ReceivedMessage } from './received-message.ts'

/** What an adapter's option `decode` makes of a delivery that no publisher of ours sent. */
export interface ForeignMessage {
  /** Identifies the event over redeliveries and copies: the inbox applies it once. Any text. */
  readonly id: string
  readonly type: string
  /** @defaultValue what the adapter takes for its own messages: the Kafka topic, the routing key, the queue's name */
  readonly topic?: string
  /** Messages of one key are handled in order. @defaultValue none: the message waits for no other */
  readonly orderingKey?: string | null
  /** @defaultValue when the broker got it, where the broker says so */
  readonly createdAt?: Date
  readonly headers?: Readonly<Record<string, string>>
  readonly attributes?: Readonly<Record<string, string>>
  /** @defaultValue the whole body */
  readonly body?: Uint8Array | string
  /** @defaultValue application/json */
  readonly contentType?: string
}

/** What a handler is called with. */
export interface Delivery {
  readonly message: ReceivedMessage
  /** 1 on the first call of the handler, as far as the broker, or the consumer's `store`, counts. */
  readonly attempt: number
  /** Aborts when the consumer lost its hold on the message or its grace period ended: stop, and commit nothing more. */
  readonly signal: AbortSignal
}

/**
 * The application's code. Resolving acknowledges the message; throwing has it delivered again after a backoff, and
 * dead-lettered after `maxAttempts`. An error that `isOutage` recognises, or `HandlerOutageError`, spends no attempt. Throw `PermanentFailure` to dead-letter at once and `UnknownTypeError` for a type
 * this version does not know yet (redelivered without spending the limit: the next deployment may know it).
 */
export type DeliveryHandler = (delivery: Delivery) => Promise<void>

/** A running consumer, the same for every broker. */
export interface Consumer {
  readonly name: string
  /** Connects and begins to receive. Resolves when the first receive is under way. Calling it twice is an error. */
  start(): Promise<void>
  /** Receives no more, waits for running handlers up to `graceMs` (default 10_000), then aborts them and returns their messages. */
  stop(options?: { readonly graceMs?: number }): Promise<void>
}

/** The options every consumer shares, under the same names. Adapters add what only their broker has. */
export interface ConsumerOptions {
  readonly handler: DeliveryHandler
  /** Handlers running at the same time; messages of one ordering key never do. @defaultValue 10 */
  readonly concurrency?: number
  /** Attempts after which a failing message is dead-lettered; what spends none does not count. @defaultValue 5 */
  readonly maxAttempts?: number
  /** Pause before redelivery, from the 1-based attempt that failed. @defaultValue exponential from 1 s to 5 min with full jitter */
  readonly backoff?: (attempt: number) => number
  /** Pause before a message of an unknown type comes again, in milliseconds. @defaultValue 30_000: a rolling deployment takes minutes */
  readonly unknownTypeRetryMs?: number
  /**
   * Says whether an error of the handler means that something the handler needs is away. Such a failure spends no attempt. Extend the
   * default instead of replacing it: `(error) => isOutage(error) || error instanceof LedgerDownError`.
   *
   * @defaultValue `isOutage`: lost and refused connections, PostgreSQL shutting down, starting or out of resources, exhausted pools
   */
  readonly isOutage?: (error: unknown) => boolean
  /**
   * Outages in a row, over all streams, after which the consumer pauses: it keeps the messages it has, calls no handler but one
   * probe at a time, at least every second, and goes on when a probe succeeds. @defaultValue 5: one lost connection is no outage
   */
  readonly pauseAfterOutages?: number
  /**
   * Failed deliveries in a row, of at least half as many different messages and whatever the error, after which the consumer
   * pauses as for an outage: a mistake that fails everything must not dead-letter everything. Failures spend no attempt while
   * it lasts. A consumer that meets nothing but bad messages therefore stops until somebody decides: alarm on
   * `consumer.paused`.
   *
   * @defaultValue 20; Infinity: never
   */
  readonly pauseAfterFailures?: number
  /**
   * Counts attempts over processes and keeps held streams: `createConsumerStore`. With it, attempts are calls of this handler and nothing
   * else, and a message whose handler kills the process is called `maxAttempts` times at the most (at least twice), alone after the
   * second. Without it, the broker's count is taken: Kafka has none, the others count deliveries that no handler saw.
   *
   * @defaultValue none
   */
  readonly store?: ConsumerStore
  /**
   * What becomes of the stream (topic and ordering key) of a dead letter. `skip`: it goes on. `hold`: it stops, with the dead letter and
   * all that comes after it in `store`, until an operator decides (`createHeldStreams`, `malote held-streams`); other streams go on.
   * The dead letters of messages without a key go to the place for dead letters as ever. `hold` needs `store`, and a broker that
   * gives a stream in order: it is refused for standard SQS queues. It costs a look at the store for each message with a key.
   *
   * @defaultValue "skip"
   */
  readonly afterDeadLetter?: 'skip' | 'hold'
  /**
   * Told what happens; never given payloads. Must not throw; a throw is reported once on `process.emitWarning`.
   *
   * @defaultValue what keeps messages from moving becomes a process warning on stderr, once until it is over
   */
  readonly onEvent?: (event: ConsumerEvent) => void
}

/**
 * What a consumer tells its `onEvent`: for logs, metrics and alarms. It carries ids, codes and errors, never a payload. Each kind of event
 * may get more fields in a later version, and new kinds may come: ignore what you do not know.
 */
export type ConsumerEvent =
  | {
      readonly type: 'message.handled'
      readonly id: MessageId
      readonly messageType: string
      readonly attempt: number
      readonly ms: number
    }
  | {
      readonly type: 'message.failed'
      readonly id: MessageId
      readonly messageType: string
      readonly attempt: number
      readonly error: unknown
      readonly retryInMs: number
    }
  | {
      readonly type: 'message.dead-lettered'
      readonly id: MessageId | null
      readonly messageType: string | null
      readonly attempt: number
      readonly reason: DeadLetterReason
      readonly error: unknown
    }
  /** What the handler needs is away, or nothing succeeds: no attempt was spent, and the message waits for its next delivery. */
  | {
      readonly type: 'message.outage'
      readonly id: MessageId
      readonly messageType: string
      readonly attempt: number
      readonly error: unknown
    }
  /** The place for dead letters did not take the message: it stays where it is and comes again. Alarm on it. */
  | {
      readonly type: 'message.dead-letter-failed'
      readonly id: MessageId | null
      readonly error: unknown
      readonly retryInMs: number
    }
  | {
      readonly type: 'message.unknown-type'
      readonly id: MessageId
      readonly messageType: string
      readonly retryInMs: number
    }
  /** A handler that takes streams in batches applied only the first `applied`: the others are handled one by one, and nobody paid. */
  | {
      readonly type: 'batch.failed'
      readonly topic: string
      readonly messages: number
      readonly applied: number
      readonly error: unknown
    }
  | { readonly type: 'message.hold-lost'; readonly id: MessageId; readonly error: unknown }
  /** With `afterDeadLetter: 'hold'`: the stream waits for an operator. Alarm on it. */
  | { readonly type: 'stream.held'; readonly topic: string; readonly id: MessageId }
  /** Its stream is held: the message waits in the store, and its broker has been told that it is done. */
  | { readonly type: 'message.parked'; readonly id: MessageId; readonly messageType: string }
  /** The store did not answer. No message is lost: at worst one more call of the handler is not counted. */
  | { readonly type: 'consumer.store-failed'; readonly error: unknown }
  | { readonly type: 'consumer.started' | 'consumer.stopped' }
  | { readonly type: 'consumer.disconnected'; readonly error: unknown; readonly retryInMs: number }
  | { readonly type: 'consumer.reconnected' }
  /** No handler is called but one probe at a time; messages stay with the consumer. Alarm on it. */
  | { readonly type: 'consumer.paused'; readonly reason: PauseReason; readonly error: unknown }
  | { readonly type: 'consumer.resumed'; readonly afterMs: number }

/** `OUTAGE`: what the handlers need is away. `EVERY_DELIVERY_FAILS`: nothing succeeds, whatever the errors say. */
export type PauseReason = 'OUTAGE' | 'EVERY_DELIVERY_FAILS'
