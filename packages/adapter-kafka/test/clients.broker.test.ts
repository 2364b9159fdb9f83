import { eventually } from '@malote/outbox-core/testing'
import { preparing } from '@malote/testing/harness-error'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest'
import {
  createKafkaConsumer,
  createKafkaPublisher,
  type KafkaClient,
  type KafkaDelivery,
  type StoredOffsets,
} from '../src/index.ts'
import { clients, type ClientUnderTest } from './clients.ts'
import { aMessage, connectKafka, type KafkaBroker } from './kafka-broker.ts'

const brokers = inject('kafkaBrokers')
const never = new AbortController().signal
const names = Object.keys(clients)

function connectTo(name: string, to: readonly string[] = brokers.split(',')): ClientUnderTest {
  const connect = clients[name]
  if (connect === undefined) throw new Error(`no client ${name} here`)
  return connect(to)
}

describe.skipIf(brokers === '')('clients of Kafka', () => {
  let broker: KafkaBroker

  beforeAll(async () => {
    broker = await connectKafka(brokers.split(','))
  })
  afterAll(() => broker.close())

  const clientOf = (name: string): KafkaClient => connectTo(name).client

  /** A consumer of the topic that tells what it is given. */
  async function consume(
    client: KafkaClient,
    groupId: string,
    topic: string,
    offsets?: StoredOffsets,
  ): Promise<KafkaDelivery[]> {
    const taken: KafkaDelivery[] = []
    const consumer = createKafkaConsumer({
      consumer: client.consumer({ groupId, sessionTimeoutMs: 6_000, rebalanceTimeoutMs: 6_000 }),
      producer: client.producer,
      topics: [topic],
      ...(offsets === undefined ? {} : { offsets }),
      handler: (delivery) => Promise.resolve(void taken.push(delivery)),
    })
    onTestFinished(() => consumer.stop())
    await consumer.start()
    return taken
  }

  it('all put a key into the same partition, so that a move keeps streams together', async () => {
    const keys = Array.from({ length: 60 }, (_, n) => `${'k'.repeat(n % 9)}-${String(n)}-ç`)
    const places = await Promise.all(
      names.map(async (name) => {
        const topic = await broker.topic({ partitions: 7 })
        const publisher = createKafkaPublisher({ producer: clientOf(name).producer, source: '/tests' })
        onTestFinished(() => publisher.close())
        await publisher.publish(
          keys.map((orderingKey) => aMessage({ topic, orderingKey })),
          never,
        )
        const records = await broker.read(topic)
        return new Map(records.map(({ key, partition }) => [key, partition]))
      }),
    )

    const [first, ...others] = places
    expect(new Set(first?.values()).size).toBe(7)
    for (const other of others) expect(other).toEqual(first)
  })

  // kafkajs and librdkafka have no way to share partitions that both know.
  it.each(names.filter((name) => name !== 'platformatic'))(
    '%s and platformatic share the partitions of a group, so that members can move to the other client one by one',
    async (name) => {
      const topic = await broker.topic({ partitions: 4 })
      const groupId = randomUUID()
      const taken = await Promise.all([name, 'platformatic'].map((one) => consume(clientOf(one), groupId, topic)))
      const batch = Array.from({ length: 40 }, (_, n) => aMessage({ topic, orderingKey: `key-${String(n)}` }))

      await broker.publisher().publish(batch, never)
      await eventually(() => {
        expect(new Set(taken.flat().map(({ message }) => message.id)).size).toBe(40)
      })

      expect(taken.every((own) => own.length > 0)).toBe(true)
    },
  )

  it.each(names)('%s: a record without a key spreads, and one without a value stays without', async (name) => {
    const topic = await broker.topic({ partitions: 4 })
    const producer = clientOf(name).producer()
    await producer.connect()
    const messages = Array.from({ length: 20 }, () => ({ key: null, value: null, headers: { a: 'b' } }))

    for (const message of messages) await producer.send({ topic, messages: [message] })
    await producer.disconnect()

    const records = await broker.read(topic)
    expect(records).toHaveLength(20)
    expect(records.every(({ raw }) => raw.value === null && raw.key === null)).toBe(true)
    expect(new Set(records.map(({ partition }) => partition)).size).toBeGreaterThan(1)
    // The records are the adapter's, which sends them again after a failure.
    expect(messages.every(({ headers }) => headers.a === 'b')).toBe(true)
  })

  it.each(names)('%s: a position that the log has left behind goes on where the log begins', async (name) => {
    const topic = await broker.topic({ partitions: 1 })
    const batch = Array.from({ length: 10 }, () => aMessage({ topic }))
    await broker.publisher().publish(batch, never)
    await preparing('cut the log off', async () => {
      await broker.admin.fetchTopicOffsets(topic) // kafkajs finds leaders only of topics that it was asked of before.
      await broker.admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '6' }] })
    })

    const taken = await consume(clientOf(name), randomUUID(), topic, { load: () => Promise.resolve('2') })
    await eventually(() => {
      expect(taken.map(({ message }) => message.id)).toEqual(batch.slice(6).map(({ id }) => id))
    })
  })

  it.each(names)(
    '%s: a producer that is disconnected while it connects ends both, and harms no other',
    async (name) => {
      const client = clientOf(name)
      const [early, other] = [client.producer(), client.producer()]

      const ends = await Promise.allSettled([early.connect(), early.disconnect()])
      await other.connect()
      const topic = await broker.topic()
      await other.send({ topic, messages: [{ key: 'a', value: Buffer.from('{}'), headers: {} }] })
      await other.disconnect()

      expect(ends[1]).toMatchObject({ status: 'fulfilled' })
      expect(await broker.read(topic)).toHaveLength(1)
    },
  )

  // That of kafkajs stands in `hanging-broker.broker.test.ts`.
  it.each(names.filter((name) => name !== 'kafkajs'))(
    '%s: a publish that is aborted while its producer connects ends at once, and so does close',
    async (name) => {
      const silent = createServer().listen(0, '127.0.0.1')
      onTestFinished(() => void silent.close())
      await once(silent, 'listening')
      const { client } = connectTo(name, [`127.0.0.1:${String((silent.address() as AddressInfo).port)}`])
      const publisher = createKafkaPublisher({ producer: client.producer, source: '/tests' })
      const abort = new AbortController()

      const publishing = publisher.publish([aMessage()], abort.signal)
      const [socket] = await once(silent, 'connection')
      abort.abort()
      const results = await publishing
      await publisher.close()

      expect(results).toMatchObject([{ status: 'failed', failure: { kind: 'retryable', code: 'ABORTED' } }])
      socket.destroy()
    },
  )
})
