import { randomUUID } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import {
  describeConformance,
  eventually,
  type PublishedRecord,
  publisherConformance,
  type PublisherHarness,
  startTcpProxy,
  type TcpProxy,
} from '@malote/outbox-core/testing'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { createWebhookPublisher, decodeWebhook } from './webhook-publisher.ts'

/** A receiver: paths that were made take messages, others answer 404. */
function createReceiver() {
  const topics = new Map<string, PublishedRecord[]>()
  const troubled = new Set<string>()
  const server = createServer((request, response) => {
    void (async () => {
      const topic = request.url?.slice(1) ?? ''
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      const taken = topics.get(topic)
      const headers = request.headers as Record<string, string>
      const record = { message: decodeWebhook(headers, Buffer.concat(chunks)), wire: headers }
      const status =
        taken === undefined ? 404 : troubled.has(topic) ? 503 : record.message.type === 'order.refused' ? 422 : 204
      if (status === 204) taken?.push(record)
      response.writeHead(status).end()
    })()
  })
  return { server, topics, troubled }
}

const listen = async (server: Server, port = 0): Promise<number> => {
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

const receiver = createReceiver()
let proxy: TcpProxy
beforeAll(async () => {
  proxy = await startTcpProxy(await listen(receiver.server))
})
afterAll(async () => {
  await proxy.close()
  receiver.server.closeAllConnections()
  receiver.server.close()
})

const harness: PublisherHarness = {
  createPublisher: () =>
    Promise.resolve(
      createWebhookPublisher({ url: (topic) => `http://127.0.0.1:${String(proxy.port)}/${topic}`, source: '/docs' }),
    ),
  freshTopic: () => {
    const topic = randomUUID()
    receiver.topics.set(topic, [])
    return Promise.resolve(topic)
  },
  missingTopic: () => Promise.resolve(randomUUID()),
  receive: async (topic, count) => {
    const taken = receiver.topics.get(topic) ?? []
    await eventually(() => {
      if (taken.length < count) throw new Error(`${String(taken.length)} of ${String(count)}`)
    }).catch(() => {})
    return taken.splice(0)
  },
  maxMessageBytes: 1_000_000,
  patienceMs: 10_000,
  keepsOrder: true,
  brokerRefusal: async () => {
    const topic = randomUUID()
    receiver.topics.set(topic, [])
    return { topic, change: { type: 'order.refused' } }
  },
  troubledTopic: async () => {
    const topic = randomUUID()
    receiver.topics.set(topic, [])
    receiver.troubled.add(topic)
    return { topic, mend: () => Promise.resolve(void receiver.troubled.delete(topic)) }
  },
  stopBroker: () => Promise.resolve(proxy.refuse()),
  startBroker: () => Promise.resolve(proxy.accept()),
  cutConnections: () => Promise.resolve(proxy.cut()),
}

/** One HTTP request for each message: ten thousand take longer than all the other cases together. `MALOTE_ALL_CASES=1` runs them too. */
const cases = publisherConformance.filter(
  ({ name }) => process.env['MALOTE_ALL_CASES'] === '1' || !name.startsWith('a batch of 10,000'),
)

describeConformance({ describe, it }, 'webhook', cases, () => harness, {
  ordersByBrokerKey: 'HTTP has no key to order by',
  openConnections: 'fetch keeps connections for the whole process, not for one publisher',
})
