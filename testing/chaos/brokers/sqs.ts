import { setTimeout as sleep } from 'node:timers/promises'
import { CreateQueueCommand, GetQueueAttributesCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { createSqsConsumer, createSqsPublisher } from '../../../packages/adapter-sqs/src/index.ts'
import { sqsClient, startSqsProcess } from '../../services/sqs.ts'
import { startSqsGate } from '../../services/sqs-gate.ts'
import type { BrokerKind, BrokerSettings } from './broker.ts'

const queueUrl = ({ address }: BrokerSettings, name: string): string => `${address}/000000000000/${name}`
const queue = 'chaos.fifo'
const deadLetterQueue = 'chaos-dead.fifo'

async function messagesIn(client: SQSClient, url: string): Promise<number> {
  const names = [
    'ApproximateNumberOfMessages',
    'ApproximateNumberOfMessagesNotVisible',
    'ApproximateNumberOfMessagesDelayed',
  ] as const
  const asked = new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: [...names] })
  const { Attributes } = await client.send(asked)
  return names.reduce((sum, name) => sum + Number(Attributes?.[name] ?? 0), 0)
}

/** FIFO, so that order per group is the broker's own promise; fauxqs in a process of its own, its messages on disk. */
export const sqs: BrokerKind = {
  start: async () => {
    const server = await startSqsProcess()
    const gate = await startSqsGate(server.port)
    const settings: BrokerSettings = { kind: 'sqs', address: `http://127.0.0.1:${String(gate.port)}` }
    const client = sqsClient(server.endpoint)
    for (const name of [queue, deadLetterQueue])
      await client.send(new CreateQueueCommand({ QueueName: name, Attributes: { FifoQueue: 'true' } }))
    return {
      settings,
      port: gate.port,
      through: (port, host = '127.0.0.1') => ({ kind: 'sqs', address: `http://${host}:${String(port)}` }),
      restart: async (downMs) => {
        await server.stop()
        await sleep(downMs)
        await server.start()
      },
      trouble: async (how, forMs) => {
        gate.refuse(how, queue)
        await sleep(forMs)
        gate.refuse(null, queue)
      },
      refuseDeadLetters: async (forMs) => {
        gate.refuse('away', deadLetterQueue)
        await sleep(forMs)
        gate.refuse(null, deadLetterQueue)
      },
      deadLetters: () => messagesIn(client, queueUrl(settings, deadLetterQueue)),
      unacknowledged: () => messagesIn(client, queueUrl(settings, queue)),
      close: async () => {
        client.destroy()
        await gate.close()
        await server.close()
      },
    }
  },
  publisher: (settings) =>
    createSqsPublisher({ client: sqsClient(settings.address), queueUrl: { chaos: queueUrl(settings, queue) } }),
  consumer: (settings, options) =>
    createSqsConsumer({
      ...options,
      client: sqsClient(settings.address),
      queueUrl: queueUrl(settings, queue),
      deadLetterQueueUrl: queueUrl(settings, deadLetterQueue),
      concurrency: 10,
      visibilityTimeoutMs: 3_000,
      waitTimeMs: 1_000,
    }),
}
