import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { type PublishedRecord, type PublisherHarness } from '@malote/outbox-core/testing'
import type { RabbitmqService } from '@malote/testing/services/rabbitmq'
import { startTcpProxy, type TcpProxy } from '@malote/testing/tcp-proxy'
import { type Channel, type ChannelModel, connect, type ConsumeMessage } from 'amqplib'
import { decode } from '../src/decode.ts'
import { assertTopology, createRabbitmqPublisher } from '../src/index.ts'

/** Everything of these tests is routed through one exchange; topics that begin so go to an exchange of their own name. */
export const exchange = 'malote-tests'
const ownExchange = 'own-'

export const uniqueName = (prefix: string): string => `${prefix}-${randomBytes(6).toString('hex')}`

/** Runs `work` on a channel of a short-lived connection. Connects again while the broker is still coming up. */
export async function withChannel<Result>(url: string, work: (channel: Channel) => Promise<Result>): Promise<Result> {
  const connection = await connect(url)
  connection.on('error', () => {}) // What was under way rejects with the same error.
  try {
    const channel = await connection.createChannel()
    channel.on('error', () => {}) // As above.
    return await work(channel)
  } finally {
    await connection.close()
  }
}

/** Connects through the proxy instead of to the broker itself. */
export function through(proxy: TcpProxy, url: string): () => Promise<ChannelModel> {
  return () => connect(Object.assign(new URL(url), { port: String(proxy.port) }).toString())
}

export const routeOf = (topic: string): { exchange: string; routingKey: string } => ({
  exchange: topic.startsWith(ownExchange) ? topic : exchange,
  routingKey: topic,
})

export interface RabbitmqPublisherHarness extends PublisherHarness {
  close(): Promise<void>
}

/** A queue for each topic, named like it, without retry queues: the publisher kit never consumes. */
export async function createPublisherHarness(broker: RabbitmqService): Promise<RabbitmqPublisherHarness> {
  const { url } = broker
  const proxy = await startTcpProxy(Number(new URL(url).port))
  const maxMessageBytes = 256 * 1024
  return {
    maxMessageBytes,
    patienceMs: 20_000,
    createPublisher: () =>
      Promise.resolve(
        createRabbitmqPublisher({ connect: through(proxy, url), source: '/tests', route: routeOf, maxMessageBytes }),
      ),
    freshTopic: () => makeQueue(url, uniqueName('topic')),
    missingTopic: () => Promise.resolve(uniqueName('nowhere')),
    receive: (topic, count) => receive(url, topic, count),
    brokerRefusal: async () => {
      const topic = uniqueName(ownExchange)
      await makeQueue(url, topic)
      await withChannel(url, async (channel) => {
        await channel.assertExchange(topic, 'headers')
        await channel.bindQueue(topic, topic, '', { 'x-match': 'all', 'cloudEvents:type': 'order.accepted' })
      })
      return { topic, change: { type: 'order.refused' } }
    },
    stopBroker: () => broker.stop('kill'),
    startBroker: () => broker.start(),
    cutConnections: () => Promise.resolve(proxy.cut()),
    openConnections: () => Promise.resolve(proxy.connections),
    close: () => proxy.close(),
  }
}

async function makeQueue(url: string, name: string): Promise<string> {
  await withChannel(url, (channel) =>
    assertTopology(channel, { exchange, queue: name, topics: [name], retryDelaysMs: [], singleActiveConsumer: false }),
  )
  return name
}

/** Takes what is in the queue: waits for `count`, then takes what is left besides. */
export async function receive(url: string, queue: string, count: number): Promise<PublishedRecord[]> {
  return withChannel(url, async (channel) => {
    const taken: ConsumeMessage[] = []
    const { consumerTag } = await channel.consume(queue, (message) => message && taken.push(message), { noAck: true })
    for (let waitedMs = 0; taken.length < count && waitedMs < 10_000; waitedMs += 10) await pause(10)
    await channel.cancel(consumerTag)
    const records = taken.map((message) => recordOf(message))
    for (let more = await channel.get(queue, { noAck: true }); more; more = await channel.get(queue, { noAck: true }))
      records.push(recordOf(more))
    return records
  })
}

function recordOf(message: Parameters<typeof decode>[0]): PublishedRecord {
  return { message: decode(message), wire: { ...(message.properties.headers as Record<string, string>) } }
}
