import { shardOf } from '@malote/outbox-core'
import { invalidOption, numberOption } from '@malote/outbox-core/adapter'
import type { Channel } from 'amqplib'

/** Where a topic goes. */
export interface Route {
  readonly exchange: string
  readonly routingKey: string
}

/** From a second to five minutes: the span of the default backoff. */
export const defaultRetryDelaysMs: readonly number[] = [1_000, 5_000, 30_000, 120_000, 300_000]

/** The exchange and the queues that `assertTopology` makes: the queue itself, its retry queues and its queue for dead letters. */
export interface RabbitmqTopology {
  /** Durable topic exchange that publishers write to. */
  readonly exchange: string
  readonly queue: string
  /** Routing keys the queue gets, as topic patterns, for example `order.*`. */
  readonly topics: readonly string[]
  /**
   * Makes so many queues, `<queue>.0` and on, each with its retry queues and its dead-letter queue, instead of one: each is one active consumer's,
   * so that a topic has as many. Publish with `route: shardedRoute(exchange, shards)`, and start a consumer for each (`shardQueueOf`).
   *
   * @defaultValue none: one queue
   */
  readonly shards?: number
  /**
   * Give the queue to one consumer at a time and the next when it goes. Without it two consumers share the queue and the order
   * per key is lost. @defaultValue true: order is promised
   */
  readonly singleActiveConsumer?: boolean
  /**
   * Redeliveries after which the broker itself moves a message to the dead-letter queue, past its handler: the only net under messages that
   * kill their consumer when the consumer has no `store`. The broker counts every message that a killed consumer had taken, also while
   * the handlers' database is away, so a limit buries good messages after that many kills. Leave it out when the consumer
   * has a `store`, which knows the messages that kill. RabbitMQ 4 sets 20 where a queue names none.
   *
   * @defaultValue as good as none: the broker cannot tell a message that kills from one that was only there
   */
  readonly deliveryLimit?: number
  /** One retry queue for each delay, in milliseconds. Give the consumer the same. @defaultValue 1 s, 5 s, 30 s, 2 min, 5 min */
  readonly retryDelaysMs?: readonly number[]
  /** @defaultValue the queue's name followed by `.dead` */
  readonly deadLetterQueue?: string
}

/** Name of the queue in which failed messages without a key wait this long, in milliseconds, before they come back to `queue`. */
export function retryQueueOf(queue: string, delayMs: number): string {
  return `${queue}.retry.${String(delayMs)}`
}

/** Whether the name is that of one of the retry queues of `queue`. */
export function isRetryQueueOf(queue: string, name: string | undefined): boolean {
  return name?.startsWith(`${queue}.retry.`) === true
}

/** Name of one of the queues that `queue` is split into. @param shard - from 0 */
export function shardQueueOf(queue: string, shard: number): string {
  return `${queue}.${String(shard)}`
}

const shardWord = (shard: number): string => `shard-${String(shard)}`

/** Option `route` of a publisher for a topology with `shards`: each ordering key always to the same one. */
export function shardedRoute(exchange: string, shards: number): (topic: string, orderingKey: string | null) => Route {
  return (topic, orderingKey) => ({ exchange, routingKey: `${topic}.${shardWord(shardOf(orderingKey, shards))}` })
}

/** Name of the queue to which a consumer of `queue` puts its dead letters. */
export function deadLetterQueueOf(queue: string): string {
  return `${queue}.dead`
}

/**
 * Makes the exchange, the queue with its bindings, its retry queues and its dead-letter queue, all durable, the queues
 * replicated (quorum) and safe while the broker moves messages between them. Calling it again is harmless; changing an option of an existing queue is
 * refused by the broker (`PRECONDITION_FAILED`) and needs a new queue or a policy. Needs RabbitMQ 3.10 or later.
 */
export async function assertTopology(channel: Channel, topology: RabbitmqTopology): Promise<void> {
  const { shards, ...shared } = topology
  if (shards === undefined) return assertQueues(channel, topology)
  if (shared.deadLetterQueue !== undefined)
    throw invalidOption('deadLetterQueue', shared.deadLetterQueue, 'left out with "shards": each has its own')
  const count = numberOption('shards', shards, 1, { min: 1, max: 1_000 })
  for (let shard = 0; shard < count; shard++)
    await assertQueues(channel, {
      ...shared,
      queue: shardQueueOf(topology.queue, shard),
      topics: topology.topics.map((topic) => `${topic}.${shardWord(shard)}`),
    })
}

async function assertQueues(channel: Channel, topology: RabbitmqTopology): Promise<void> {
  const { exchange, queue, topics, singleActiveConsumer = true, deliveryLimit = noDeliveryLimit } = topology
  const deadLetterQueue = topology.deadLetterQueue ?? deadLetterQueueOf(queue)
  await channel.assertExchange(exchange, 'topic', { durable: true })
  await channel.assertQueue(deadLetterQueue, quorum({}))
  await channel.assertQueue(
    queue,
    quorum({
      ...movesTo(deadLetterQueue),
      'x-single-active-consumer': singleActiveConsumer,
      'x-delivery-limit': deliveryLimit,
    }),
  )
  for (const delayMs of topology.retryDelaysMs ?? defaultRetryDelaysMs)
    await channel.assertQueue(retryQueueOf(queue, delayMs), quorum({ ...movesTo(queue), 'x-message-ttl': delayMs }))
  for (const topic of topics) await channel.bindQueue(queue, exchange, topic)
}

/** RabbitMQ knows a word for none (-1) only since version 4. */
const noDeliveryLimit = 2 ** 31 - 1

/** Without the limit a dead letter that was looked at and put back twenty times would be dropped by RabbitMQ 4. */
function quorum(args: Readonly<Record<string, unknown>>): { durable: true; arguments: Record<string, unknown> } {
  return { durable: true, arguments: { 'x-delivery-limit': noDeliveryLimit, ...args, 'x-queue-type': 'quorum' } }
}

/** Without "at-least-once" (which wants this overflow rule) a crash of the broker between the two queues loses the message. */
function movesTo(queue: string): Record<string, unknown> {
  return {
    'x-dead-letter-exchange': '',
    'x-dead-letter-routing-key': queue,
    'x-dead-letter-strategy': 'at-least-once',
    'x-overflow': 'reject-publish',
  }
}
