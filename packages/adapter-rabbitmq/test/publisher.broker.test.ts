import { anOutboxMessage, eventually } from '@malote/outbox-core/testing'
import type { OutboxMessage, Publisher, PublishResult } from '@malote/outbox-core'
import { startTcpProxy, type TcpProxy } from '@malote/testing/tcp-proxy'
import { scaled } from '@malote/testing/slowness'
import { connect } from 'amqplib'
import type { Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { assertTopology, createRabbitmqPublisher, type RabbitmqPublisherOptions } from '../src/index.ts'
import { exchange, receive, through, uniqueName, withChannel } from './rabbitmq-harness.ts'

const url = inject('rabbitmqUrl')

describe.skipIf(url === '')('a RabbitMQ publisher', () => {
  let proxy: TcpProxy
  const publishers: Publisher[] = []

  beforeAll(async () => {
    proxy = await startTcpProxy(Number(new URL(url).port))
    await withChannel(url, (channel) => channel.assertExchange(exchange, 'topic'))
  })
  afterEach(() => Promise.all(publishers.splice(0).map((publisher) => publisher.close())))
  afterAll(() => proxy.close())

  function setup(options: Partial<RabbitmqPublisherOptions> = {}): Publisher {
    const route = (topic: string): { exchange: string; routingKey: string } => ({
      exchange: topic.startsWith('missing') ? 'no-such-exchange' : exchange,
      routingKey: topic,
    })
    const publisher = createRabbitmqPublisher({ connect: through(proxy, url), source: '/tests', route, ...options })
    publishers.push(publisher)
    return publisher
  }

  it('blames a missing exchange on its own messages: the broker closes the channel, their neighbours are accepted', async () => {
    const topic = await queue()
    const batch = Array.from({ length: 60 }, (_, index) =>
      anOutboxMessage({ topic: index % 10 === 5 ? 'missing' : topic }),
    )

    const results = await setup().publish(batch, AbortSignal.timeout(scaled(20_000)))

    expect(
      codes(
        batch.filter((message) => message.topic === 'missing'),
        results,
      ),
    ).toEqual(Array(6).fill('NOT_FOUND'))
    expect(
      codes(
        batch.filter((message) => message.topic === topic),
        results,
      ),
    ).toEqual(Array(54).fill('accepted'))
  })

  it('does not fail another publish with the channel the broker closed under one', async () => {
    const topic = await queue()
    const publisher = setup()
    const good = Array.from({ length: 200 }, () => anOutboxMessage({ topic }))

    const [results] = await Promise.all([
      publisher.publish(good, AbortSignal.timeout(scaled(20_000))),
      publisher.publish([anOutboxMessage({ topic: 'missing' })], AbortSignal.timeout(scaled(20_000))),
    ])

    expect(new Set(codes(good, results))).toEqual(new Set(['accepted']))
  })

  it('reports what a full queue refuses as NACKED, and nothing of that key after it', async () => {
    const topic = uniqueName('full')
    await withChannel(url, async (channel) => {
      await channel.assertQueue(topic, { maxLength: 2, overflow: 'reject-publish' })
      await channel.bindQueue(topic, exchange, topic)
    })
    const batch = Array.from({ length: 6 }, () => anOutboxMessage({ topic, orderingKey: 'k' }))

    const results = await setup().publish(batch, AbortSignal.timeout(scaled(20_000)))

    const behind = Array(3).fill('PREDECESSOR_FAILED')
    expect(codes(batch, results)).toEqual(['accepted', 'accepted', 'NACKED', ...behind])
  })

  it('sends the messages of a key without waiting when the order is fast, and they arrive in order', async () => {
    const topic = await queue()
    const batch = Array.from({ length: 300 }, () => anOutboxMessage({ topic, orderingKey: 'k' }))

    await setup({ ordering: 'fast' }).publish(batch, AbortSignal.timeout(scaled(20_000)))

    const held = await receive(url, topic, batch.length)
    expect(held.map((record) => record.message.id)).toEqual(batch.map((message) => message.id))
  })

  it('keeps the window of unconfirmed messages and still gets everything through', async () => {
    const topic = await queue()
    const batch = Array.from({ length: 100 }, () => anOutboxMessage({ topic }))

    const results = await setup({ maxUnconfirmed: 1 }).publish(batch, AbortSignal.timeout(scaled(20_000)))

    expect(new Set(codes(batch, results))).toEqual(new Set(['accepted']))
  })

  it('writes through back-pressure: bodies far larger than the socket buffers', async () => {
    const topic = await queue()
    const batch = Array.from({ length: 20 }, () => anOutboxMessage({ topic, body: new Uint8Array(1_000_000) }))

    const results = await setup().publish(batch, AbortSignal.timeout(scaled(20_000)))

    expect(new Set(codes(batch, results))).toEqual(new Set(['accepted']))
  })

  it('hands the frames of one batch to the socket together, not each in a call of its own', async () => {
    const topic = await queue()
    let calls = 0
    const publisher = setup({
      connect: async () => {
        const model = await connect(url)
        const { stream } = model.connection as unknown as { stream: Socket }
        const count = (name: '_write' | '_writev'): void => {
          const handOver = stream[name]?.bind(stream) as (...given: unknown[]) => void
          stream[name] = (...given: unknown[]) => (calls++, handOver(...given))
        }
        count('_write')
        count('_writev')
        return model
      },
    })
    await publisher.publish([anOutboxMessage({ topic })], AbortSignal.timeout(scaled(20_000)))
    const before = calls
    const batch = Array.from({ length: 100 }, () => anOutboxMessage({ topic }))

    const results = await publisher.publish(batch, AbortSignal.timeout(scaled(20_000)))

    expect(new Set(codes(batch, results))).toEqual(new Set(['accepted']))
    // One by one there would be a call for each message. A heartbeat may be among them.
    expect(calls - before).toBeGreaterThan(0)
    expect(calls - before).toBeLessThan(10)
  })

  it('opens one connection however many publishes begin together, and none after close', async () => {
    const topic = await queue()
    let opened = 0
    const publisher = setup({ connect: () => (opened++, connect(url)) })

    await Promise.all(
      [1, 2, 3].map(() => publisher.publish([anOutboxMessage({ topic })], AbortSignal.timeout(scaled(20_000)))),
    )
    await publisher.close()

    expect(opened).toBe(1)
    await expect(publisher.publish([], new AbortController().signal)).rejects.toMatchObject({
      code: 'PUBLISHER_CLOSED',
    })
  })

  it('discards a connection that arrives after close', async () => {
    const arriving = Promise.withResolvers<void>()
    const before = proxy.connections
    const publisher = setup({ connect: () => arriving.promise.then(through(proxy, url)) })
    const publishing = publisher.publish([anOutboxMessage()], AbortSignal.timeout(50))

    expect(codes([], await publishing)).toEqual([])
    await publisher.close()
    arriving.resolve()

    await eventually(() => expect(proxy.connections).toBe(before))
  })

  it('takes a new connection after one that answered nothing until the publish was aborted', async () => {
    const topic = await queue()
    const silent = await startTcpProxy(Number(new URL(url).port))
    const routes = [through(silent, url), through(proxy, url)]
    const publisher = setup({ connect: () => (routes.shift() as () => ReturnType<typeof connect>)() })
    await publisher.publish([anOutboxMessage({ topic })], AbortSignal.timeout(scaled(20_000)))

    silent.silence()
    const lost = await publisher.publish([anOutboxMessage({ topic })], AbortSignal.timeout(200))
    const next = await publisher.publish([anOutboxMessage({ topic })], AbortSignal.timeout(scaled(20_000)))

    expect(lost[0]).toMatchObject({ status: 'failed', failure: { code: 'ABORTED' } })
    expect(next[0]).toMatchObject({ status: 'accepted' })
    await silent.close()
  })

  async function queue(): Promise<string> {
    const name = uniqueName('topic')
    await withChannel(url, (channel) =>
      assertTopology(channel, {
        exchange,
        queue: name,
        topics: [name],
        retryDelaysMs: [],
        singleActiveConsumer: false,
      }),
    )
    return name
  }
})

function codes(batch: readonly OutboxMessage[], results: readonly PublishResult[]): string[] {
  return batch.map(({ id }) => {
    const result = results.find((one) => one.id === id)
    return result?.status === 'failed' ? result.failure.code : (result?.status ?? 'no result')
  })
}
