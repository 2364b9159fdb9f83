import { anOutboxMessage, eventually } from '@malote/outbox-core/testing'
import {
  type Consumer,
  type ConsumerEvent,
  type DeadLetterNote,
  type Delivery,
  type OutboxMessage,
  type Publisher,
} from '@malote/outbox-core'
import { startTcpProxy } from '@malote/testing/tcp-proxy'
import { scaled } from '@malote/testing/slowness'
import { connect } from 'amqplib'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import {
  assertTopology,
  createRabbitmqConsumer,
  createRabbitmqPublisher,
  deadLetterNoteOf,
  deadLetterQueueOf,
  type RabbitmqConsumerOptions,
  type RabbitmqTopology,
  redriveDeadLetters,
  type RedriveReport,
  retryQueueOf,
} from '../src/index.ts'
import { askBroker, exchange, lookAt, through, uniqueName, withChannel } from './rabbitmq-harness.ts'

const url = inject('rabbitmqUrl')

describe.skipIf(url === '')('a RabbitMQ consumer', () => {
  let publisher: Publisher
  const consumers: Consumer[] = []

  beforeAll(() => {
    publisher = createRabbitmqPublisher({ connect: () => connect(url), source: '/tests', exchange })
  })
  afterEach(() => Promise.all(consumers.splice(0).map((consumer) => consumer.stop({ graceMs: 100 }))))
  afterAll(() => publisher.close())

  it('sends a failed message without a key through a retry queue, its topic and attempts with it', async () => {
    const slow = await topology({ retryDelaysMs: [600_000] }) // There it stays until somebody has looked.
    await send(slow, {})
    await consume(slow, { retryDelaysMs: [600_000], backoff: () => 600_000 }, failOnce)
    await eventually(async () => expect(await depthOf(retryQueueOf(slow, 600_000))).toBe(1))

    const queue = await topology({ retryDelaysMs: [400] })
    const [message] = await send(queue, {})
    const { deliveries } = await consume(queue, { retryDelaysMs: [400], backoff: () => 400 }, failOnce)
    await eventually(() => expect(deliveries).toHaveLength(2))

    expect(deliveries.map((delivery) => delivery.attempt)).toEqual([1, 2])
    expect(deliveries[1]?.message).toMatchObject({ id: message?.id, topic: queue, type: message?.type, headers: {} })
  })

  it('acknowledges many messages at once and never one that is still in hand', async () => {
    const queue = await topology({})
    await send(queue, ...Array.from({ length: 30 }, () => ({})))
    const { consumer, events } = await consume(queue, { concurrency: 30 }, ({ signal }, count) =>
      count === 10 ? new Promise((_, reject) => signal.addEventListener('abort', reject)) : undefined,
    )
    await eventually(() => expect(events.filter((type) => type === 'message.handled')).toHaveLength(29))

    await consumer.stop({ graceMs: 0 })

    await eventually(async () => expect(await depthOf(queue)).toBe(1))
  })

  it('keeps a failed message with a key to itself, so that its key waits', async () => {
    const queue = await topology({ retryDelaysMs: [150] })
    const sent = await send(queue, { orderingKey: 'k' }, { orderingKey: 'k' })
    const { deliveries } = await consume(queue, { retryDelaysMs: [150], backoff: () => 150 }, failOnce)

    await eventually(() => expect(deliveries).toHaveLength(3))

    expect(deliveries.map((delivery) => delivery.message.id)).toEqual([sent[0]?.id, sent[0]?.id, sent[1]?.id])
  })

  it('waits in place where the retry queue is missing', async () => {
    const queue = await topology({ retryDelaysMs: [] })
    await send(queue, {})
    const { deliveries } = await consume(queue, { retryDelaysMs: [50], backoff: () => 50 }, failOnce)

    await eventually(() => expect(deliveries.map((delivery) => delivery.attempt)).toEqual([1, 2]))
  })

  it('carries out no instruction of a foreign producer again when it moves the message', async () => {
    const [queue, copied] = [await topology({ retryDelaysMs: [50] }), await topology({})]
    const headers = {
      'cloudEvents:id': uniqueName('id'),
      'cloudEvents:type': 'order.accepted',
      CC: [copied],
      BCC: [copied],
    }
    await withChannel(url, async (channel) => {
      channel.sendToQueue(queue, Buffer.from('{}'), { headers })
      await channel.checkQueue(queue)
    })
    const { deliveries } = await consume(queue, { retryDelaysMs: [50], backoff: () => 50, maxAttempts: 2 }, () => {
      throw new Error('never')
    })

    await eventually(async () => expect(await depthOf(deadLetterQueueOf(queue))).toBe(1))

    expect(deliveries).toHaveLength(2)
    // What RabbitMQ did itself when the producer sent it, for CC and BCC together.
    expect(await depthOf(copied)).toBe(1)
  })

  it('leaves a message it cannot dead-letter where it is, and tells', async () => {
    const queue = await topology({})
    await askBroker(url, (channel) => channel.deleteQueue(deadLetterQueueOf(queue)))
    await send(queue, {})
    const alwaysFail = (): never => {
      throw new Error('never')
    }
    const { events } = await consume(queue, { maxAttempts: 1, reconnectBackoff: () => 50 }, alwaysFail)
    await eventually(() => expect(events).toContain('message.dead-letter-failed'))

    await withChannel(url, (channel) =>
      channel.assertQueue(deadLetterQueueOf(queue), { arguments: { 'x-queue-type': 'quorum' } }),
    )

    await eventually(async () => expect(await depthOf(deadLetterQueueOf(queue))).toBe(1))
  })

  it('is given in order what more processes had taken and were killed than RabbitMQ 4 lets by itself', async () => {
    const queue = await topology({})
    const sent = await send(queue, { orderingKey: 'k' }, { orderingKey: 'k' })

    const connection = await connect(url)
    for (let kill = 0; kill < 22; kill++) {
      const channel = await connection.createChannel()
      const { promise: both, resolve } = Promise.withResolvers<void>()
      let taken = 0
      await channel.consume(queue, () => void (++taken === sent.length && resolve()))
      await both
      await channel.close() // The broker gives back what was taken, as for a connection that is gone.
    }
    await connection.close()
    const { deliveries } = await consume(queue, {})

    await eventually(() => expect(deliveries).toHaveLength(sent.length))
    expect(deliveries.map(({ message }) => message.id)).toEqual(sent.map(({ id }) => id))
  })

  it('with a delivery limit is given a message that kills only so often; it is put away with the reason and can be brought back', async () => {
    const queue = await topology({ deliveryLimit: 2 })
    const [message] = await send(queue, {})
    const attempts: number[] = []

    for (let kill = 0; kill < 3; kill++)
      await takenByOneThatIsKilled(queue, ({ attempt }) => {
        attempts.push(attempt)
        return new Promise(() => {}) // As a killed process: it never ends.
      })
    await eventually(async () => expect(await depthOf(deadLetterQueueOf(queue))).toBe(1))
    const notes = (): Promise<(DeadLetterNote | null)[]> => lookAt(url, deadLetterQueueOf(queue), deadLetterNoteOf)
    const reason = { reason: 'DELIVERY_LIMIT', source: queue, topic: queue }
    const noted = await notes()
    const redrive = (where: (note: DeadLetterNote | null) => boolean): Promise<RedriveReport> =>
      redriveDeadLetters({ connect: () => connect(url), queue, where })
    // One that stays is put behind the others, which takes RabbitMQ's own words off it.
    expect(await redrive((note) => note?.reason === 'POISON')).toEqual({ redriven: 0, kept: 1 })
    await eventually(async () => expect(await notes()).toMatchObject([reason]))
    expect(await redrive((note) => note?.reason === 'DELIVERY_LIMIT')).toEqual({ redriven: 1, kept: 0 })
    const { deliveries } = await consume(queue, {})

    await eventually(() => expect(deliveries).toHaveLength(1))
    expect(attempts).toEqual([1, 2, 3])
    expect(noted).toMatchObject([reason])
    expect(deliveries[0]).toMatchObject({ attempt: 1, message: { id: message?.id, topic: queue } })
  })

  it('goes on when its queue was deleted and is there again', async () => {
    const queue = await topology({})
    const { deliveries, events } = await consume(queue, { reconnectBackoff: () => 50 })

    await withChannel(url, (channel) => channel.deleteQueue(queue))
    await eventually(() => expect(events).toContain('consumer.disconnected'))
    await topology({ queue })
    await eventually(() => expect(events).toContain('consumer.reconnected'))
    await send(queue, {})

    await eventually(() => expect(deliveries).toHaveLength(1))
  })

  it('starts when its queue is there, however long that takes', async () => {
    const queue = uniqueName('late')
    const { events, started } = prepare(queue, { reconnectBackoff: () => 50 })
    const starting = started()
    await eventually(() => expect(events).toContain('consumer.disconnected'))

    await topology({ queue })

    await starting
    expect(events.at(-1)).toBe('consumer.started')
  })

  it("refuses amqplib's own recovery, and so does the publisher", async () => {
    const recovering = (async () => connect(url, { recovery: true })) as unknown as RabbitmqConsumerOptions['connect']
    const handler = () => Promise.resolve()
    const consumer = createRabbitmqConsumer({ connect: recovering, queue: 'any', handler })
    const refused = createRabbitmqPublisher({ connect: recovering, source: '/tests', exchange })

    await expect(consumer.start()).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining('recovery'),
    })
    const publishing = refused.publish([anOutboxMessage()], new AbortController().signal)
    await expect(publishing).rejects.toMatchObject({ code: 'INVALID_OPTION' })
    await Promise.all([consumer.stop(), refused.close()])
  })

  it('stopped before it could connect, rejects its start', async () => {
    const { consumer, started } = prepare(uniqueName('never'), { reconnectBackoff: () => 50 })
    const starting = started()

    await Promise.all([
      expect(starting).rejects.toMatchObject({ code: 'CONSUMER_STATE' }),
      consumer.stop({ graceMs: 100 }),
    ])
  })

  it('hands the queue to one consumer after the other, with nothing of a key out of order', async () => {
    const queue = await topology({})
    const sent = await send(queue, ...Array.from({ length: 20 }, () => ({ orderingKey: 'k' })))
    const handled: string[] = []
    const remember = ({ message }: Delivery): void => void handled.push(message.id)

    const first = await consume(queue, {}, async (delivery) => {
      remember(delivery)
      if (handled.length === 5) void first.consumer.stop()
    })
    await consume(queue, {}, remember)

    // A hand-over may repeat a message: the order of their first deliveries is what is promised.
    await eventually(() => expect(new Set(handled).size).toBe(20))
    expect([...new Set(handled)]).toEqual(sent.map((message) => message.id))
  })

  it('its topology may be asserted again and again', async () => {
    const queue = await topology({})

    await expect(topology({ queue })).resolves.toBe(queue)
  })

  /** One process after the other takes what is there and is killed once a handler was called. */
  async function takenByOneThatIsKilled(queue: string, work: (delivery: Delivery) => unknown): Promise<void> {
    const proxy = await startTcpProxy(Number(new URL(url).port))
    const called = Promise.withResolvers<void>()
    const { consumer } = await consume(queue, { connect: through(proxy, url) }, (delivery) => {
      called.resolve()
      return work(delivery)
    })
    await called.promise
    proxy.refuse()
    consumers.splice(consumers.indexOf(consumer), 1)
    void consumer.stop({ graceMs: 0 })
    await proxy.close()
  }

  async function topology(options: Partial<RabbitmqTopology>): Promise<string> {
    const { queue = uniqueName('queue') } = options
    const made = { exchange, queue, topics: [queue], retryDelaysMs: [], ...options }
    await withChannel(url, (channel) => assertTopology(channel, made))
    return queue
  }

  async function send(topic: string, ...changes: Partial<OutboxMessage>[]): Promise<OutboxMessage[]> {
    const messages = changes.map((change) => anOutboxMessage({ topic, ...change }))
    const results = await publisher.publish(messages, AbortSignal.timeout(scaled(20_000)))
    expect(results.filter((result) => result.status === 'failed')).toEqual([])
    return messages
  }

  async function consume(
    queue: string,
    options: Partial<RabbitmqConsumerOptions>,
    work?: (delivery: Delivery, count: number) => unknown,
  ): Promise<Prepared> {
    const prepared = prepare(queue, options, work)
    await prepared.started()
    return prepared
  }

  function prepare(
    queue: string,
    options: Partial<RabbitmqConsumerOptions>,
    work: (delivery: Delivery, count: number) => unknown = () => {},
  ): Prepared {
    const deliveries: Delivery[] = []
    const events: string[] = []
    const consumer = createRabbitmqConsumer({
      connect: () => connect(url),
      queue,
      handler: async (delivery) => void (await work(delivery, deliveries.push(delivery))),
      onEvent: (event: ConsumerEvent) => void events.push(event.type),
      ...options,
    })
    consumers.push(consumer)
    return { consumer, deliveries, events, started: () => consumer.start() }
  }
})

interface Prepared {
  readonly consumer: Consumer
  readonly deliveries: readonly Delivery[]
  readonly events: readonly string[]
  readonly started: () => Promise<void>
}

function failOnce(_delivery: Delivery, count: number): void {
  if (count === 1) throw new Error('not yet')
}

async function depthOf(queue: string): Promise<number> {
  return askBroker(url, async (channel) => (await channel.checkQueue(queue)).messageCount)
}
