import { type OutboxMessage, PublishOutageError } from '@malote/outbox-core'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { aMessage, connectKafka, type KafkaBroker } from './kafka-broker.ts'

const brokers = inject('kafkaBrokers')
const never = new AbortController().signal
const byId = <Result extends { readonly id: string }>(results: readonly Result[]): Map<string, Result> =>
  new Map(results.map((result) => [result.id, result]))

describe.skipIf(brokers === '')('publishing to Kafka', () => {
  let broker: KafkaBroker

  beforeAll(async () => {
    broker = await connectKafka(brokers.split(','))
  })
  afterAll(() => broker.close())

  it('a message arrives with its key, body and CloudEvents headers', async () => {
    const topic = await broker.topic()
    const message = aMessage({ topic, orderingKey: 'account-1', headers: { tenant: 'ação' }, body: '"olá"' })

    const results = await broker.publisher().publish([message], never)

    expect(results).toEqual([{ id: message.id, status: 'accepted' }])
    const [record] = await broker.read(topic)
    expect(record).toMatchObject({ key: 'account-1', value: '"olá"', id: message.id })
    expect(String(record?.headers['ce_time'])).toBe('2026-01-02T03:04:05.678Z')
    expect(String(record?.headers['tenant'])).toBe('ação')
  })

  it('messages of one key stay in one partition in the order given, and messages without a key spread', async () => {
    const topic = await broker.topic()
    const keyed = Array.from({ length: 300 }, (_, n) => aMessage({ topic, orderingKey: `key-${String(n % 7)}` }))
    const loose = Array.from({ length: 60 }, () => aMessage({ topic }))

    await broker.publisher().publish([...keyed, ...loose], never)

    const records = await broker.read(topic)
    for (const key of new Set(keyed.map((message) => message.orderingKey))) {
      const read = records.filter((record) => record.key === key)
      expect(new Set(read.map((record) => record.partition)).size).toBe(1)
      expect(read.map((record) => record.id)).toEqual(keyed.filter((m) => m.orderingKey === key).map((m) => m.id))
    }
    const spread = records.filter((record) => record.key === record.id).map((record) => record.partition)
    expect(spread).toHaveLength(60)
    expect(new Set(spread).size).toBe(3)
  })

  it('ten thousand messages are accepted in one call', async () => {
    const topic = await broker.topic()
    const batch = Array.from({ length: 10_000 }, (_, n) => aMessage({ topic, orderingKey: `key-${String(n % 500)}` }))

    const results = await broker.publisher().publish(batch, never)

    expect(results.filter((result) => result.status === 'accepted')).toHaveLength(10_000)
    expect(await broker.read(topic)).toHaveLength(10_000)
  })

  it('a record larger than the limit fails alone, what follows it in its key waits, and the rest is accepted once', async () => {
    const topic = await broker.topic()
    const key = Array.from({ length: 5 }, () => aMessage({ topic, orderingKey: 'a' }))
    const large = aMessage({ topic, orderingKey: 'a', body: 'x'.repeat(1_048_577) })
    const others = Array.from({ length: 50 }, (_, n) => aMessage({ topic, orderingKey: `other-${String(n)}` }))
    const batch = [...key.slice(0, 2), large, ...key.slice(2), ...others]

    const results = byId(await broker.publisher().publish(batch, never))

    expect(results.get(large.id)).toMatchObject({ failure: { kind: 'permanent', code: 'TOO_LARGE' } })
    for (const message of key.slice(2))
      expect(results.get(message.id)).toMatchObject({ failure: { kind: 'retryable', code: 'PREDECESSOR_FAILED' } })
    const accepted = [...key.slice(0, 2), ...others].map((message) => message.id)
    expect((await broker.read(topic)).map((record) => record.id).sort()).toEqual(accepted.sort())
  })

  it('a record only the broker finds too large is isolated, and no later message of its key passes it', async () => {
    const topic = await broker.topic({ config: { 'max.message.bytes': '20000' } })
    const batch = Array.from({ length: 100 }, (_, n) => aMessage({ topic, orderingKey: `key-${String(n % 10)}` }))
    const large = { ...aMessage({ topic, orderingKey: 'key-3' }), body: 'x'.repeat(30_000) }
    const withLarge = [...batch.slice(0, 55), large, ...batch.slice(55)]

    const results = byId(await broker.publisher().publish(withLarge, never))

    expect(results.get(large.id)).toMatchObject({ failure: { kind: 'permanent', code: 'TOO_LARGE' } })
    const afterIt = batch.slice(55).filter((message) => message.orderingKey === 'key-3')
    const read = new Set((await broker.read(topic)).map((record) => record.id))
    for (const message of batch) {
      const blocked = afterIt.includes(message)
      expect(results.get(message.id)?.status).toBe(blocked ? 'failed' : 'accepted')
      expect(read.has(message.id)).toBe(!blocked)
    }
  })

  // kafkajs takes back the sequence numbers of a refused request, also for the partition that took its records: the broker
  // then holds the next records for repetitions and says "accepted".
  it('after a request that one partition refused, everything accepted is in the topic', async () => {
    const topic = await broker.topic({ partitions: 2, config: { 'max.message.bytes': '20000' } })
    const publisher = broker.publisher({ concurrency: 1 })
    const keys = Array.from({ length: 20 }, (_, n) => `key-${String(n)}`)
    const oneOfEach = (): OutboxMessage[] => keys.map((orderingKey) => aMessage({ topic, orderingKey }))

    const refused = await publisher.publish([...oneOfEach(), aMessage({ topic, body: 'x'.repeat(30_000) })], never)
    const next = await publisher.publish(oneOfEach(), never)

    const accepted = [...refused, ...next].filter((result) => result.status === 'accepted')
    const read = new Set((await broker.read(topic)).map((record) => record.id))
    expect(accepted.filter((result) => !read.has(result.id))).toEqual([])
    expect(accepted).toHaveLength(40)
  })

  it('a missing topic fails its own messages, to be tried again, and no other topic', async () => {
    const topic = await broker.topic()
    const lost = aMessage({ topic: 'no-such-topic', orderingKey: 'a' })
    const fine = aMessage({ topic, orderingKey: 'a' })

    const results = byId(await broker.publisher().publish([lost, fine], never))

    expect(results.get(lost.id)).toMatchObject({
      failure: { kind: 'unavailable', code: 'UNKNOWN_TOPIC_OR_PARTITION' },
    })
    expect(results.get(fine.id)?.status).toBe('accepted')
  })

  it('nobody at the address is an outage', async () => {
    const nowhere = await connectNowhere()

    await expect(nowhere.publish([aMessage()], never)).rejects.toThrow(PublishOutageError)
  })

  it('an abort settles at once and says what is not known', async () => {
    const topic = await broker.topic()
    const publisher = broker.publisher()
    const controller = new AbortController()
    const message = aMessage({ topic })

    const publishing = publisher.publish([message], controller.signal)
    controller.abort()

    expect(await publishing).toMatchObject([{ id: message.id, failure: { kind: 'retryable', code: 'ABORTED' } }])
  })

  it('closing waits for what is in flight, twice is once, and nothing is taken after it', async () => {
    const topic = await broker.topic()
    const publisher = broker.publisher()

    const publishing = publisher.publish([aMessage({ topic })], never)
    await Promise.all([publisher.close(), publisher.close()])

    expect(await publishing).toMatchObject([{ status: 'accepted' }])
    await expect(publisher.publish([aMessage({ topic })], never)).rejects.toMatchObject({ code: 'PUBLISHER_CLOSED' })
  })

  it('a producer that is not idempotent is refused', () => {
    const producer = (): ReturnType<KafkaBroker['kafka']['producer']> => broker.kafka.producer()

    expect(() => broker.publisher({ producer })).toThrow(/producerDefaults/)
  })

  async function connectNowhere(): Promise<ReturnType<KafkaBroker['publisher']>> {
    const { Kafka, logLevel } = await import('kafkajs')
    const { createKafkaPublisher, producerDefaults } = await import('../src/index.ts')
    const kafka = new Kafka({ brokers: ['127.0.0.1:1'], logLevel: logLevel.NOTHING, retry: { retries: 0 } })
    return createKafkaPublisher({ producer: () => kafka.producer(producerDefaults), source: '/tests' })
  }
})
