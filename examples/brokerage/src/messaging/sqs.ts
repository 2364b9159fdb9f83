import { CreateQueueCommand, GetQueueUrlCommand, SQSClient, type SQSClientConfig } from '@aws-sdk/client-sqs'
import { createSqsConsumer, createSqsPublisher } from '@malote/adapter-sqs'
import { allTopics, isOrdered, type Topic } from '../orders/order-events.ts'
import type { Broker } from './broker.ts'

/** Ordered topics are FIFO queues, the others standard ones; each has a queue for its dead letters beside it. */
function queueNames(topic: Topic): { readonly main: string; readonly deadLetters: string } {
  const suffix = isOrdered(topic) ? '.fifo' : ''
  return { main: `${topic}${suffix}`, deadLetters: `${topic}-dead-letters${suffix}` }
}

/** Makes the queues that do not exist yet. */
export async function prepareSqs(endpoint: string): Promise<void> {
  const client = connect(endpoint)
  try {
    for (const topic of allTopics) {
      const attributes = isOrdered(topic) ? { FifoQueue: 'true' } : {}
      for (const name of Object.values(queueNames(topic)))
        await client.send(new CreateQueueCommand({ QueueName: name, Attributes: attributes }))
    }
  } finally {
    client.destroy()
  }
}

export async function createSqsBroker(endpoint: string): Promise<Broker> {
  const client = connect(endpoint)
  const urlOf = async (name: string): Promise<string> => {
    const { QueueUrl = '' } = await client.send(new GetQueueUrlCommand({ QueueName: name }))
    // An emulator may name itself by a host that nobody can resolve: only the path is taken from it.
    return new URL(QueueUrl.replace(/^https?:\/\/[^/]+/, ''), endpoint).toString()
  }
  const urls = new Map(
    await Promise.all(
      allTopics.map(async (topic) => {
        const { main, deadLetters } = queueNames(topic)
        return [topic, { main: await urlOf(main), deadLetters: await urlOf(deadLetters) }] as const
      }),
    ),
  )
  const queueOf = (topic: Topic): { main: string; deadLetters: string } => urls.get(topic) as never

  return {
    createPublisher: () =>
      createSqsPublisher({ client, source: '/brokerage', queueUrl: (topic) => urls.get(topic as Topic)?.main }),
    createConsumer: (topic, options) =>
      createSqsConsumer({
        ...options,
        client,
        queueUrl: queueOf(topic).main,
        deadLetterQueueUrl: queueOf(topic).deadLetters,
        topic,
        // What a killed process had in hand comes back after this long.
        visibilityTimeoutMs: 10_000,
      }),
    close: async () => client.destroy(),
  }
}

function connect(endpoint: string): SQSClient {
  const config: SQSClientConfig = {
    endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'demo', secretAccessKey: 'demo' },
    // The relay and the consumers retry by themselves, and say so.
    maxAttempts: 1,
  }
  return new SQSClient(config)
}
