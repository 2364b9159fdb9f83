import { shardOf } from '@malote/outbox-core'
import { anOutboxMessage } from '@malote/outbox-core/testing'
import { connect } from 'amqplib'
import { describe, expect, inject, it } from 'vitest'
import { assertTopology, createRabbitmqPublisher, shardedRoute, shardQueueOf } from '../src/index.ts'
import { exchange, receive, uniqueName, withChannel } from './rabbitmq-harness.ts'

const url = inject('rabbitmqUrl')

describe.skipIf(url === '')('a topic over several queues', () => {
  it('keeps each key in one queue, in order, and every message under its own topic', async () => {
    const topic = uniqueName('orders')
    const shards = 3
    const topology = { exchange, queue: topic, topics: [topic], retryDelaysMs: [], singleActiveConsumer: false, shards }
    await withChannel(url, (channel) => assertTopology(channel, topology))
    const route = shardedRoute(exchange, shards)
    const publisher = createRabbitmqPublisher({ connect: () => connect(url), source: '/tests', route })
    const messages = Array.from({ length: 30 }, (_, index) =>
      anOutboxMessage({ topic, orderingKey: `key-${String(index % 10)}`, body: String(index) }),
    )

    const results = await publisher.publish(messages, new AbortController().signal)
    await publisher.close()

    expect(results.every(({ status }) => status === 'accepted')).toBe(true)
    for (let shard = 0; shard < shards; shard++) {
      const expected = messages.filter(({ orderingKey }) => shardOf(orderingKey, shards) === shard)
      const records = await receive(url, shardQueueOf(topic, shard), expected.length)
      expect(records.map(({ message }) => message.topic)).toEqual(expected.map(() => topic))
      expect(records.map(({ message }) => message.id).toSorted()).toEqual(expected.map(({ id }) => id).toSorted())
      expect(expected.length).toBeGreaterThan(0)
    }
  })
})
