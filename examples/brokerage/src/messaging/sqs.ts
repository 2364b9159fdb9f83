import { CreateQueueCommand, SQSClient, type SQSClientConfig } from '@aws-sdk/client-sqs'
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

export function createSqsBroker(endpoint: string): Promise<Broker> {
  const client = connect(endpoint)

  return Promise.resolve({
    createPublisher: () =>
      createSqsPublisher({
        client,
        source: '/brokerage',
        queueUrl: (topic) => (isTopic(topic) ? urlOf(endpoint, queueNames(topic).main) : undefined),
      }),
    createConsumer: (topic, options) =>
      createSqsConsumer({
        ...options,
        client,
        queueUrl: urlOf(endpoint, queueNames(topic).main),
        deadLetterQueueUrl: urlOf(endpoint, queueNames(topic).deadLetters),
        topic,
        // What a killed process had in hand comes back after this long.
        visibilityTimeoutMs: 10_000,
      }),
    close: async () => client.destroy(),
  })
}

/**
 * URLs are configuration and not asked for: a process must be able to start while the queues are out of reach. The account is
 * the one emulators use.
 */
function urlOf(endpoint: string, queue: string): string {
  return new URL(`/000000000000/${queue}`, endpoint).toString()
}

function isTopic(topic: string): topic is Topic {
  return allTopics.some((known) => known === topic)
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
