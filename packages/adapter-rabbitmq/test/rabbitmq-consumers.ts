import {
  type Consumer,
  type ConsumerEvent,
  type Delivery,
  type OutboxMessage,
  type Publisher,
} from '@malote/outbox-core'
import { anOutboxMessage } from '@malote/outbox-core/testing'
import { scaled } from '@malote/testing/slowness'
import { startTcpProxy } from '@malote/testing/tcp-proxy'
import { connect } from 'amqplib'
import { expect } from 'vitest'
import {
  assertTopology,
  createRabbitmqConsumer,
  createRabbitmqPublisher,
  type RabbitmqConsumerOptions,
  type RabbitmqTopology,
} from '../src/index.ts'
import { askBroker, exchange, through, uniqueName, withChannel } from './rabbitmq-harness.ts'

export interface PreparedConsumer {
  readonly consumer: Consumer
  readonly deliveries: readonly Delivery[]
  readonly events: readonly string[]
  readonly started: () => Promise<void>
}

export type Work = (delivery: Delivery, count: number) => unknown

/** Queues of their own, messages in them, and consumers, which `stop` ends. */
export class RabbitmqConsumers {
  readonly #url: string
  readonly #publisher: Publisher
  readonly #consumers = new Set<Consumer>()

  constructor(url: string) {
    this.#url = url
    this.#publisher = createRabbitmqPublisher({ connect: () => connect(url), source: '/tests', exchange })
  }

  /** @returns its queue */
  async topology(options: Partial<RabbitmqTopology>): Promise<string> {
    const { queue = uniqueName('queue') } = options
    const made = { exchange, queue, topics: [queue], retryDelaysMs: [], ...options }
    await withChannel(this.#url, (channel) => assertTopology(channel, made))
    return queue
  }

  async send(topic: string, ...changes: Partial<OutboxMessage>[]): Promise<OutboxMessage[]> {
    const messages = changes.map((change) => anOutboxMessage({ topic, ...change }))
    const results = await this.#publisher.publish(messages, AbortSignal.timeout(scaled(20_000)))
    expect(results.filter((result) => result.status === 'failed')).toEqual([])
    return messages
  }

  async depthOf(queue: string): Promise<number> {
    return askBroker(this.#url, async (channel) => (await channel.checkQueue(queue)).messageCount)
  }

  prepare(queue: string, options: Partial<RabbitmqConsumerOptions>, work: Work = () => {}): PreparedConsumer {
    const deliveries: Delivery[] = []
    const events: string[] = []
    const consumer = createRabbitmqConsumer({
      connect: () => connect(this.#url),
      queue,
      handler: async (delivery) => void (await work(delivery, deliveries.push(delivery))),
      onEvent: (event: ConsumerEvent) => void events.push(event.type),
      ...options,
    })
    this.#consumers.add(consumer)
    return { consumer, deliveries, events, started: () => consumer.start() }
  }

  async consume(queue: string, options: Partial<RabbitmqConsumerOptions>, work?: Work): Promise<PreparedConsumer> {
    const prepared = this.prepare(queue, options, work)
    await prepared.started()
    return prepared
  }

  /** One process after the other takes what is there and is killed once a handler was called. */
  async takenByOneThatIsKilled(queue: string, work: (delivery: Delivery) => unknown): Promise<void> {
    const proxy = await startTcpProxy(Number(new URL(this.#url).port))
    const called = Promise.withResolvers<void>()
    const { consumer } = await this.consume(queue, { connect: through(proxy, this.#url) }, (delivery) => {
      called.resolve()
      return work(delivery)
    })
    await called.promise
    proxy.refuse()
    this.#consumers.delete(consumer)
    void consumer.stop({ graceMs: 0 })
    await proxy.close()
  }

  /** Stops all that consume. */
  async stop(): Promise<void> {
    const consumers = [...this.#consumers]
    this.#consumers.clear()
    await Promise.all(consumers.map((consumer) => consumer.stop({ graceMs: 100 })))
  }

  close(): Promise<void> {
    return this.#publisher.close()
  }
}
