import type { SQSClient } from '@aws-sdk/client-sqs'
import type { Absences, PublisherHarness } from '@malote/outbox-core/testing'
import { givenSqsEndpoint, sqsClient, startSqs, startSqsProcess } from '@malote/testing/services/sqs'
import { isLacking, sqsLacks } from '@malote/testing/services/sqs-lacks'
import { startTcpProxy, type TcpProxy } from '@malote/testing/tcp-proxy'
import { decodeMessage, textAttributes } from '../src/decode.ts'
import { createSqsPublisher } from '../src/index.ts'
import { type Flavour, queuesOn } from './queues.ts'

export interface SqsPublisherHarness extends PublisherHarness {
  close(): Promise<void>
}

const notOurs: Absences<PublisherHarness> = {
  ...(givenSqsEndpoint() === null ? {} : { stopBroker: 'the server was given to us and is not ours to stop' }),
  ...(isLacking('sizes') ? { brokerRefusal: `the server ${sqsLacks.sizes.words}` } : {}),
}
/** What a server of another make takes, body and attributes. */
const limits = isLacking('sizes') ? { maxMessageBytes: 261_120, maxBatchBytes: 262_144 } : {}

export const publisherAbsences: Readonly<Record<Flavour, Absences<PublisherHarness>>> = {
  fifo: notOurs,
  standard: {
    ...notOurs,
    ordersByBrokerKey: 'a standard queue has no message groups',
    keepsOrder: 'a standard queue promises no order, so messages of a key share a request',
  },
}

/** Publishers reach the server through a proxy that cuts and counts; everything else talks to it directly. */
export async function openPublisherHarness(flavour: Flavour): Promise<SqsPublisherHarness> {
  const ours = givenSqsEndpoint() === null ? await startSqsProcess() : null
  const server = ours ?? (await startSqs())
  const proxy: TcpProxy = await startTcpProxy(server.port)
  const direct: SQSClient = sqsClient(server.endpoint)
  const proxied: SQSClient = sqsClient(`http://127.0.0.1:${String(proxy.port)}`)
  const queues = queuesOn(direct, server.endpoint, flavour)

  return {
    maxMessageBytes: limits.maxMessageBytes ?? 1_048_576 - 1_024,
    patienceMs: 20_000,
    createPublisher: async () =>
      createSqsPublisher({ client: proxied, queueUrl: queues.urlOf, characters: 'bmp', ...limits }),
    freshTopic: () => queues.make(),
    missingTopic: async () => queues.unusedName(),
    receive: async (topic, count) =>
      (await queues.drain(topic, count, 20_000)).map((raw) => ({
        message: decodeMessage(raw, topic),
        wire: textAttributes(raw.MessageAttributes),
        ...(raw.Attributes?.MessageGroupId === undefined ? {} : { brokerKey: raw.Attributes.MessageGroupId }),
      })),
    ...(isLacking('sizes')
      ? {}
      : {
          brokerRefusal: async () => ({
            topic: await queues.make({ MaximumMessageSize: '1024' }),
            change: { body: 'x'.repeat(2_000) },
          }),
        }),
    troubledTopic: async () => {
      const topic = queues.unusedName()
      return { topic, mend: async () => void (await queues.make({}, topic)) }
    },
    ...(flavour === 'fifo' ? { ordersByBrokerKey: true, keepsOrder: true } : {}),
    ...(ours === null ? {} : { stopBroker: () => ours.stop(), startBroker: () => ours.start() }),
    cutConnections: async () => proxy.cut(),
    openConnections: async () => proxy.connections,
    close: async () => {
      proxied.destroy()
      direct.destroy()
      await proxy.close()
      await server.close()
    },
  }
}
