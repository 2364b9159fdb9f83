import type { ConsumeMessage } from 'amqplib'
import { type Backoff, type ConsumerOptions, exponentialBackoff, type ForeignMessage } from '@malote/outbox-core'
import {
  invalidOption,
  numberOption,
  type ResolvedConsumerOptions,
  resolveConsumerOptions,
} from '@malote/outbox-core/adapter'
import type { Connect } from './connection.ts'
import { deadLetterQueueOf, defaultRetryDelaysMs, type Route } from './topology.ts'

/** How `createRabbitmqPublisher` connects, and to which exchange and routing key each topic goes. Give `exchange` or `route`. */
export interface RabbitmqPublisherOptions {
  /**
   * Opens a connection, for example `() => connect(url)` of amqplib. Called when the first message is published and after each
   * loss; the publisher closes what it opened. Keep amqplib's heartbeat on: it finds a dead network.
   */
  readonly connect: Connect
  /** CloudEvents `source`: which application speaks, for example `/brokerage/orders`. */
  readonly source: string
  /** Exchange that gets every message, with the topic as routing key. Give this or `route`. */
  readonly exchange?: string
  /**
   * Exchange and routing key by topic. May look at the ordering key, to spread a topic over the shards of `assertTopology`: `shardedRoute`.
   * Messages of one topic and key must always go the same way, or their order is lost.
   */
  readonly route?: (topic: string, orderingKey: string | null) => Route
  /**
   * `strict`: a message is sent after its predecessor of the same topic and key was confirmed; different keys do not wait for
   * each other. `fast`: messages of a key are sent without waiting. When the broker then refuses one in the middle (a full
   * queue with `reject-publish`), later ones of its key have arrived already and it comes after them.
   *
   * @defaultValue "strict": order is promised
   */
  readonly ordering?: 'strict' | 'fast'
  /** Most messages sent and not yet confirmed, for each publish under way. @defaultValue 1_000: above it confirms come no faster */
  readonly maxUnconfirmed?: number
  /**
   * Largest body sent, in bytes; a larger one fails as permanent. At most the broker's `max_message_size`, which ends the whole
   * channel when it is exceeded. @defaultValue 16 MiB: what RabbitMQ 4 takes unless told otherwise
   */
  readonly maxMessageBytes?: number
  /** Pause before a connection is tried again, from the 1-based failure in a row. @defaultValue exponential from 100 ms to 5 s with full jitter */
  readonly reconnectBackoff?: Backoff
}

/** How `createRabbitmqConsumer` connects, which queue it reads, and how many messages it takes at a time. */
export interface RabbitmqConsumerOptions extends ConsumerOptions {
  /** Opens a connection; called at start, after each loss, and once more when the first message is moved. See the publisher's. */
  readonly connect: Connect
  readonly queue: string
  /**
   * Reads messages that no publisher of ours sent and that are no CloudEvents; null leaves the message to the adapter. A message it throws
   * for becomes a dead letter.
   */
  readonly decode?: (message: ConsumeMessage) => ForeignMessage | null
  /**
   * Most messages taken from the broker and not yet acknowledged. Messages that wait for a failed one of their key count too: when it is
   * used up by them, other keys wait as well. Every message taken is counted as delivered when the process crashes, and is in memory: give
   * less for large bodies. Without `singleActiveConsumer` give twice the concurrency, so that consumers share what there is.
   *
   * @defaultValue 200, or twice the concurrency where that is more: with the default backoff and attempts so many of one failing key end within the half
   * hour for which RabbitMQ leaves a message unacknowledged
   */
  readonly prefetch?: number
  /**
   * Delays of the retry queues made by `assertTopology`, in milliseconds. A message without ordering key waits there for its
   * next attempt: in the first whose delay is at least the backoff. Shorter pauses, and all of messages with a key,
   * are waited for in the consumer, the message unacknowledged and its key stopped.
   *
   * @defaultValue the same as `assertTopology`
   */
  readonly retryDelaysMs?: readonly number[]
  /** Queue for dead letters. @defaultValue the queue's name followed by `.dead` */
  readonly deadLetterQueue?: string
  /** Pause before a connection is tried again, from the 1-based failure in a row. @defaultValue exponential from 100 ms to 5 s with full jitter */
  readonly reconnectBackoff?: Backoff
}

export interface ResolvedPublisherOptions {
  readonly connect: Connect
  readonly source: string
  readonly route: (topic: string, orderingKey: string | null) => Route
  readonly ordering: 'strict' | 'fast'
  readonly maxUnconfirmed: number
  readonly maxMessageBytes: number
  readonly reconnectBackoff: Backoff
}

/** @throws OutboxError `INVALID_OPTION` */
export function resolvePublisherOptions(options: RabbitmqPublisherOptions): ResolvedPublisherOptions {
  const { exchange, route, ordering = 'strict' } = options
  if ((exchange === undefined) === (route === undefined))
    throw invalidOption('exchange', exchange, 'a name, or absent when "route" is given')
  if (ordering !== 'strict' && ordering !== 'fast') throw invalidOption('ordering', ordering, '"strict" or "fast"')
  if (typeof options.source !== 'string' || options.source === '')
    throw invalidOption('source', options.source, 'a URI reference such as "/brokerage/orders"')
  return {
    connect: options.connect,
    source: options.source,
    route: route ?? ((topic) => ({ exchange: exchange as string, routingKey: topic })),
    ordering,
    maxUnconfirmed: numberOption('maxUnconfirmed', options.maxUnconfirmed, 1_000, { min: 1 }),
    maxMessageBytes: numberOption('maxMessageBytes', options.maxMessageBytes, 16 * 1024 * 1024, { min: 1 }),
    reconnectBackoff: options.reconnectBackoff ?? defaultReconnectBackoff(),
  }
}

/** RabbitMQ's own advice is 100 to 300. */
const defaultPrefetch = 200

export interface ResolvedRabbitmqConsumerOptions extends ResolvedConsumerOptions {
  readonly connect: Connect
  readonly queue: string
  readonly decode: ((message: ConsumeMessage) => ForeignMessage | null) | null
  readonly prefetch: number
  readonly retryDelaysMs: readonly number[]
  readonly deadLetterQueue: string
  readonly reconnectBackoff: Backoff
}

/** @throws OutboxError `INVALID_OPTION` */
export function resolveRabbitmqConsumerOptions(options: RabbitmqConsumerOptions): ResolvedRabbitmqConsumerOptions {
  const shared = resolveConsumerOptions(options)
  if (typeof options.queue !== 'string' || options.queue === '') throw invalidOption('queue', options.queue, 'a name')
  return {
    ...shared,
    connect: options.connect,
    queue: options.queue,
    decode: options.decode ?? null,
    prefetch: numberOption('prefetch', options.prefetch, Math.max(defaultPrefetch, 2 * shared.concurrency), {
      min: shared.concurrency,
      max: 65_535,
    }),
    retryDelaysMs: (options.retryDelaysMs ?? defaultRetryDelaysMs).toSorted((left, right) => left - right),
    deadLetterQueue: options.deadLetterQueue ?? deadLetterQueueOf(options.queue),
    reconnectBackoff: options.reconnectBackoff ?? defaultReconnectBackoff(),
  }
}

function defaultReconnectBackoff(): Backoff {
  return exponentialBackoff({ baseMs: 100, maxMs: 5_000 })
}
