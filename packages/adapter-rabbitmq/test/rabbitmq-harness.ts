import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import {
  type ConsumerHarness,
  eventually,
  type HeldDeadLetter,
  type PublishedRecord,
  type PublisherHarness,
} from '@malote/outbox-core/testing'
import { preparing } from '@malote/testing/harness-error'
import type { RabbitmqService } from '@malote/testing/services/rabbitmq'
import { scaled } from '@malote/testing/slowness'
import { startTcpProxy, type TcpProxy } from '@malote/testing/tcp-proxy'
import { type Channel, type ChannelModel, connect, type ConsumeMessage, type GetMessage } from 'amqplib'
import { decodeMessage } from '../src/decode.ts'
import { type Consumer, readDeadLetterNote } from '@malote/outbox-core'
import {
  assertTopology,
  createRabbitmqConsumer,
  createRabbitmqPublisher,
  deadLetterQueueOf,
  redriveDeadLetters,
} from '../src/index.ts'

/** Everything of these tests is routed through one exchange; topics that begin so go to an exchange of their own name. */
export const exchange = 'malote-tests'
const ownExchange = 'own-'

export const uniqueName = (prefix: string): string => `${prefix}-${randomBytes(6).toString('hex')}`

/** Runs `work` on a channel of a short-lived connection. */
export async function withChannel<Result>(url: string, work: (channel: Channel) => Promise<Result>): Promise<Result> {
  const connection = await preparing('connect to RabbitMQ', () => connect(url))
  connection.on('error', () => {}) // What was under way rejects with the same error.
  try {
    const channel = await preparing('open a channel', () => connection.createChannel())
    channel.on('error', () => {}) // As above.
    return await work(channel)
  } finally {
    await connection.close()
  }
}

/** The same for what a test itself asks of the broker: when it fails, the test is not prepared. Never for what is under test. */
export const askBroker = <Result>(url: string, work: (channel: Channel) => Promise<Result>): Promise<Result> =>
  preparing('ask something of RabbitMQ', () => withChannel(url, work))

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
    keepsOrder: true,
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
      await askBroker(url, async (channel) => {
        await channel.assertExchange(topic, 'headers')
        await channel.bindQueue(topic, topic, '', { 'x-match': 'all', 'cloudEvents:type': 'order.accepted' })
      })
      return { topic, change: { type: 'order.refused' } }
    },
    troubledTopic: async () => {
      const topic = uniqueName('full')
      await askBroker(url, async (channel) => {
        await channel.assertExchange(exchange, 'topic')
        await channel.assertQueue(topic, { maxLength: 1, arguments: { 'x-overflow': 'reject-publish' } })
        await channel.bindQueue(topic, exchange, topic)
        channel.sendToQueue(topic, Buffer.from('the only one it takes'))
        await channel.checkQueue(topic)
      })
      const mend = async (): Promise<void> => {
        await askBroker(url, (channel) => channel.deleteQueue(topic))
        await makeQueue(url, topic)
      }
      return { topic, mend }
    },
    stopBroker: () => crashBroker(broker),
    startBroker: () => broker.start(),
    cutConnections: () => Promise.resolve(proxy.cut()),
    openConnections: () => Promise.resolve(proxy.connections),
    close: () => proxy.close(),
  }
}

/** Kills the broker once it keeps what the case has declared: what RabbitMQ forgets of its own queues is not what the case is about. */
export async function crashBroker(broker: RabbitmqService): Promise<void> {
  await broker.queuesSaved()
  await broker.stop('kill')
}

async function makeQueue(url: string, name: string): Promise<string> {
  await withChannel(url, (channel) =>
    assertTopology(channel, { exchange, queue: name, topics: [name], retryDelaysMs: [], singleActiveConsumer: false }),
  )
  return name
}

/** Takes what is in the queue: waits for `count`, then takes what is left besides. */
export async function receive(url: string, queue: string, count: number): Promise<PublishedRecord[]> {
  return askBroker(url, async (channel) => {
    const taken: ConsumeMessage[] = []
    const { consumerTag } = await channel.consume(queue, (message) => message && taken.push(message), { noAck: true })
    const deadlineMs = performance.now() + scaled(10_000)
    while (taken.length < count && performance.now() < deadlineMs) await pause(10)
    await channel.cancel(consumerTag)
    const records = taken.map((message) => recordOf(message))
    for (let more = await channel.get(queue, { noAck: true }); more; more = await channel.get(queue, { noAck: true }))
      records.push(recordOf(more))
    return records
  })
}

function recordOf(message: Parameters<typeof decodeMessage>[0]): PublishedRecord {
  return { message: decodeMessage(message), wire: { ...(message.properties.headers as Record<string, string>) } }
}

export interface RabbitmqConsumerHarness extends ConsumerHarness {
  close(): Promise<void>
}

/** Each consumer has a proxy of its own, so that one can be cut off for good. */
export async function createConsumerHarness(
  broker: RabbitmqService,
  { consumerStore }: Pick<ConsumerHarness, 'consumerStore'> = {},
): Promise<RabbitmqConsumerHarness> {
  const { url } = broker
  const proxies = new Map<Consumer, TcpProxy>()
  const sent = new Map<string, number>()
  const publisher = createRabbitmqPublisher({ connect: () => connect(url), source: '/tests', exchange })
  return {
    ordersByKey: true,
    ordersRetries: true,
    takesStreamsInBatches: true,
    ordersAcrossConsumers: true,
    maxTaken: 200,
    ...(consumerStore === undefined ? {} : { consumerStore }),
    patienceMs: 20_000,
    redeliveryMs: 5_000,
    freshTopic: async () => {
      const name = uniqueName('topic')
      await withChannel(url, (channel) =>
        assertTopology(channel, { exchange, queue: name, topics: [name], retryDelaysMs }),
      )
      return name
    },
    createConsumer: async (topic, options) => {
      const proxy = await startTcpProxy(Number(new URL(url).port))
      const consumer = createRabbitmqConsumer({ ...options, connect: through(proxy, url), queue: topic, retryDelaysMs })
      proxies.set(consumer, proxy)
      return consumer
    },
    // A broker that was just started refuses for a while: its quorum queues look for a leader. What it took is not sent again.
    send: async (messages) => {
      let left = messages
      await eventually(async () => {
        const results = await publisher.publish(left, AbortSignal.timeout(scaled(20_000)))
        const accepted = new Set(results.flatMap((result) => (result.status === 'accepted' ? [result.id] : [])))
        const refused = results.find((result) => result.status === 'failed')
        left = left.filter(({ id }) => !accepted.has(id))
        if (refused !== undefined) throw new Error(`not all accepted: ${JSON.stringify(refused)}`)
      })
      for (const { topic } of messages) sent.set(topic, (sent.get(topic) ?? 0) + 1)
    },
    sendForeign: (topic, body) =>
      askBroker(url, async (channel) => {
        channel.sendToQueue(topic, Buffer.from(body))
        await channel.checkQueue(topic)
      }),
    // Bodies have all the room there is, headers have not.
    sendLargest: (topic) =>
      askBroker(url, async (channel) => {
        const body = 'of headers alone'
        channel.sendToQueue(topic, Buffer.from(body), { headers: { long: 'x'.repeat(largestHeader) } })
        await channel.checkQueue(topic)
        return body
      }),
    deadLetters: (topic) => peek(url, deadLetterQueueOf(topic)),
    removeDeadLetterPlace: async (topic) =>
      void (await askBroker(url, (channel) => channel.deleteQueue(deadLetterQueueOf(topic)))),
    restoreDeadLetterPlace: async (topic) => {
      const quorum = { durable: true, arguments: { 'x-queue-type': 'quorum' } }
      await askBroker(url, (channel) => channel.assertQueue(deadLetterQueueOf(topic), quorum))
    },
    redrive: (queue, options) => redriveDeadLetters({ connect: () => connect(url), queue, ...options }),
    crash: (consumer) => Promise.resolve(proxies.get(consumer)?.refuse()),
    // RabbitMQ counts them only every few seconds; what it still has ready it knows at once. No handler has ended by then.
    unacknowledged: async (topic) =>
      (sent.get(topic) ?? 0) - (await askBroker(url, (channel) => channel.checkQueue(topic))).messageCount,
    stopBroker: () => crashBroker(broker),
    startBroker: () => broker.start(),
    close: async () => {
      await publisher.close()
      await Promise.all([...proxies.values()].map((proxy) => proxy.close()))
    },
  }
}

/** What amqplib takes of headers, less what stands beside the one. A note takes more. */
const largestHeader = 65_536 - 100

/** Retry queues are there, with pauses a test can wait for. */
const retryDelaysMs = [100, 1_500]

/** Looks at the dead letters without taking them. */
const peek = (url: string, queue: string): Promise<HeldDeadLetter[]> =>
  lookAt(url, queue, (raw) => {
    const headers = raw.properties.headers as Record<string, unknown>
    return {
      id: (headers['cloudEvents:id'] as string | undefined) ?? null,
      body: raw.content,
      note: readDeadLetterNote(headers as Record<string, string>),
    }
  })

/** Looks at what is in the queue, and resolves when the queue has it again: some time after the broker says that the channel is closed. */
export function lookAt<Seen>(url: string, queue: string, see: (raw: GetMessage) => Seen): Promise<Seen[]> {
  return preparing(`look at ${queue}`, async () => {
    const seen = await withChannel(url, async (channel) => {
      const found: Seen[] = []
      for (let raw = await channel.get(queue); raw; raw = await channel.get(queue)) found.push(see(raw))
      return found // Unacknowledged: closing the channel gives them back.
    })
    if (seen.length > 0) await untilHeld(url, queue, seen.length)
    return seen
  })
}

/** Somebody else may take them meanwhile: that is waited for no longer than a moment. */
function untilHeld(url: string, queue: string, count: number): Promise<void> {
  const options = { patienceMs: 1_000 }
  return withChannel(url, (channel) =>
    eventually(async () => {
      const { messageCount } = await channel.checkQueue(queue)
      if (messageCount < count) throw new Error(`${String(messageCount)} of ${String(count)} are back`)
    }, options).catch(() => {}),
  )
}
