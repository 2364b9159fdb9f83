import {
  type Consumer,
  type ConsumerEvent,
  deadLetterHeader,
  type OutboxMessage,
  readDeadLetterNote,
} from '@malote/outbox-core'
import { eventually } from '@malote/outbox-core/testing'
import { scaled } from '@malote/testing/slowness'
import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import {
  consumerDefaults,
  createKafkaConsumer,
  type KafkaConsumerOptions,
  type KafkaDelivery,
  producerDefaults,
} from '../src/index.ts'
import { aMessage, connectKafka, type KafkaBroker, kafkaClient } from './kafka-broker.ts'

const brokers = inject('kafkaBrokers')
const never = new AbortController().signal
const sessionTimeoutMs = scaled(1_500)

describe.skipIf(brokers === '')('consuming from Kafka', () => {
  let broker: KafkaBroker
  const consumers: Consumer[] = []

  beforeAll(async () => {
    broker = await connectKafka(brokers.split(','))
  })
  afterEach(() => Promise.all(consumers.splice(0).map((consumer) => consumer.stop({ graceMs: 100 }))))
  afterAll(() => broker.close())

  /** A topic of its own with a group of its own; starts consumers on it. */
  async function setup(partitions: number) {
    const topic = await broker.topic({ partitions })
    const groupId = randomUUID()
    const consume = async (
      handler: KafkaConsumerOptions['handler'],
      options: Partial<KafkaConsumerOptions> = {},
    ): Promise<Consumer> => {
      const kafka = kafkaClient(brokers.split(','))
      const consumer = createKafkaConsumer({
        consumer: kafka.consumer({
          ...consumerDefaults,
          groupId,
          sessionTimeout: sessionTimeoutMs,
          heartbeatInterval: 300,
        }),
        topics: [topic],
        producer: () => kafka.producer(producerDefaults),
        handler,
        backoff: () => 0,
        ...options,
      })
      consumers.push(consumer)
      await consumer.start()
      return consumer
    }
    const send = async (messages: readonly OutboxMessage[]): Promise<void> => {
      const results = await broker.publisher().publish(messages, never)
      expect(results.filter((result) => result.status === 'failed')).toEqual([])
    }
    const committed = (): Promise<bigint[]> => broker.committed(groupId, topic)
    return { topic, consume, send, committed }
  }

  it('only what is finished without a gap is committed, and the rest comes again', async () => {
    const { topic, consume, send, committed } = await setup(1)
    const messages = Array.from({ length: 10 }, (_, n) => aMessage({ topic, orderingKey: `key-${String(n)}` }))
    const first: string[] = []
    const second: string[] = []
    await send(messages)

    const consumer = await consume(
      ({ message }) => {
        if (message.id === messages[3]?.id) return Promise.reject(new Error('not yet'))
        first.push(message.id)
        return Promise.resolve()
      },
      { backoff: () => 60_000 },
    )
    await eventually(async () => expect(await committed()).toEqual([3n]))
    // A member that lost its session meanwhile, on a busy machine, is given them again.
    await eventually(() => expect(new Set(first).size).toBe(9))
    await consumer.stop()
    await consume(({ message }) => Promise.resolve(void second.push(message.id)))

    await eventually(() => expect([...new Set(second)]).toEqual(messages.slice(3).map((message) => message.id)))
    await eventually(async () => expect(await committed()).toEqual([10n]))
  })

  it('a message in backoff for longer than the session timeout holds up no other partition and costs no rebalance', async () => {
    const { topic, consume, send } = await setup(4)
    const stuck = aMessage({ topic, orderingKey: 'stuck' })
    const others = Array.from({ length: 40 }, (_, n) => aMessage({ topic, orderingKey: `key-${String(n)}` }))
    const attempts: number[] = []
    const handled = new Set<string>()
    const events: ConsumerEvent['type'][] = []
    // The others are handled while it waits: its time grows with the machine's slowness.
    const waitMs = 2 * sessionTimeoutMs
    await send([stuck])

    await consume(
      ({ message, attempt }) => {
        if (message.id !== stuck.id) return Promise.resolve(void handled.add(message.id))
        attempts.push(attempt)
        return attempt === 1 ? Promise.reject(new Error('not yet')) : Promise.resolve()
      },
      { backoff: () => waitMs, maxBufferedMessages: 5, onEvent: ({ type }) => void events.push(type) },
    )
    await eventually(() => expect(attempts).toEqual([1]))
    await send(others)
    await eventually(() => expect(handled.size).toBeGreaterThanOrEqual(30), { patienceMs: waitMs - 500 })

    expect(attempts).toEqual([1])
    await eventually(() => expect([attempts, handled.size]).toEqual([[1, 2], 40]))
    expect(events).not.toContain('message.hold-lost')
  })

  it('a partition whose first records are not handled begins no more than maxBufferedMessages', async () => {
    const { topic, consume, send } = await setup(1)
    const body = 'x'.repeat(10_000)
    const rounds = 6
    const gate = Promise.withResolvers<void>()
    let begun = 0
    let ended = 0

    await consume(
      async () => {
        begun++
        await gate.promise
        ended++
      },
      { maxBufferedMessages: 20, concurrency: 1_000 },
    )
    for (let round = 0; round < rounds; round++) await send(Array.from({ length: 60 }, () => aMessage({ topic, body })))
    await eventually(() => expect(begun).toBe(20))
    await send(Array.from({ length: 60 }, () => aMessage({ topic, body })))
    const begunAtOnce = begun
    gate.resolve()

    expect(begunAtOnce).toBe(20)
    await eventually(() => expect(ended).toBe((rounds + 1) * 60))
  })

  it('a partition that goes to another member aborts its handlers, and what they did is not committed for it', async () => {
    const { topic, consume, send, committed } = await setup(2)
    const messages = Array.from({ length: 8 }, (_, n) => aMessage({ topic, orderingKey: `key-${String(n)}` }))
    const gate = Promise.withResolvers<void>()
    const held: KafkaDelivery[] = []
    const taken: KafkaDelivery[] = []
    await send(messages)

    await consume(async (delivery) => {
      held.push(delivery)
      await gate.promise
    })
    await eventually(() => expect(held).toHaveLength(8))
    await consume((delivery) => Promise.resolve(void taken.push(delivery)))
    await eventually(() => expect(held.some((delivery) => delivery.signal.aborted)).toBe(true))
    await eventually(() => expect(taken.length).toBeGreaterThan(0))
    const moved = taken[0]?.partition as number
    gate.resolve()

    for (const delivery of held) expect(delivery.signal.aborted).toBe(delivery.partition === moved)
    await eventually(async () => expect((await committed()).reduce((sum, each) => sum + each, 0n)).toBe(8n))
    const again = held.filter((delivery) => delivery.partition === moved).map((delivery) => delivery.message.id)
    expect(taken.map((delivery) => delivery.message.id).sort()).toEqual(again.sort())
  })

  it('a dead letter waits for its topic to exist, and nothing is lost', async () => {
    const { topic, consume, send, committed } = await setup(1)
    const [dead, next] = [aMessage({ topic, orderingKey: 'a' }), aMessage({ topic, orderingKey: 'a' })]
    const handled: string[] = []
    const events: ConsumerEvent['type'][] = []
    await send([dead, next])

    await consume(
      ({ message }) =>
        message.id === dead.id ? Promise.reject(new Error('never')) : Promise.resolve(void handled.push(message.id)),
      { maxAttempts: 1, onEvent: ({ type }) => void events.push(type) },
    )
    await eventually(() => expect(events).toContain('message.dead-letter-failed'))
    expect([handled, await committed()]).toEqual([[], [-1n]])
    await broker.topic({ name: `${topic}.dead`, partitions: 1 })

    await eventually(() => expect(handled).toEqual([next.id]))
    const [letter] = await broker.read(`${topic}.dead`)
    expect(letter?.id).toBe(dead.id)
    const note = readDeadLetterNote({ [deadLetterHeader]: String(letter?.headers[deadLetterHeader]) })
    expect(note).toMatchObject({ source: topic, position: '0:0', reason: 'MAX_ATTEMPTS', attempts: 1 })
  })

  it("a message keeps the application's topic when the publisher maps it to another", async () => {
    const { topic, consume } = await setup(1)
    const received: KafkaDelivery[] = []
    const publisher = broker.publisher({ topics: () => topic })

    await publisher.publish([aMessage({ topic: 'orders', orderingKey: 'a' })], never)
    await consume((delivery) => Promise.resolve(void received.push(delivery)))

    await eventually(() => expect(received).toHaveLength(1))
    expect(received[0]).toMatchObject({ topic, partition: 0, offset: '0', message: { topic: 'orders', headers: {} } })
  })

  it('a topic that does not exist fails the start', async () => {
    const { consume } = await setup(1)

    await expect(consume(() => Promise.resolve(), { topics: ['no-such-topic'] })).rejects.toThrow(/topic/)
  })
})
