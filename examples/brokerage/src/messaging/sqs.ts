import { CreateTopicCommand, SNSClient, SubscribeCommand } from '@aws-sdk/client-sns'
import { CreateQueueCommand, SQSClient } from '@aws-sdk/client-sqs'
import { createSqsConsumer } from '@malote/adapter-sqs'
import { createSnsPublisher } from '@malote/adapter-sqs/sns'
import { allTopics, isOrdered, type Topic } from '../orders/order-events.ts'
import type { Broker } from './broker.ts'
import { keepsOrder, type Subscription, subscriptions } from './subscriptions.ts'

/** Emulators' account and region; configuration in a deployment. */
const region = 'us-east-1'
const account = '000000000000'

/** SNS makes the copies: a FIFO topic for what is ordered by account, and a queue for each subscription. */
const topicName = (topic: Topic): string => (isOrdered(topic) ? `${topic}.fifo` : topic)
const topicArn = (topic: Topic): string => `arn:aws:sns:${region}:${account}:${topicName(topic)}`
const queueName = (subscription: Subscription): string => `${subscription.queue}${fifoSuffix(subscription)}`
const deadLetterName = (subscription: Subscription): string =>
  `${subscription.queue}-dead-letters${fifoSuffix(subscription)}`
const fifoSuffix = (subscription: Subscription): string => (keepsOrder(subscription) ? '.fifo' : '')

/** Makes the topics, queues and subscriptions that do not exist yet. */
export async function prepareSqs(endpoint: string): Promise<void> {
  const sqs = new SQSClient(connection(endpoint))
  const sns = new SNSClient(connection(endpoint))
  try {
    for (const topic of allTopics)
      await sns.send(
        new CreateTopicCommand({ Name: topicName(topic), Attributes: isOrdered(topic) ? { FifoTopic: 'true' } : {} }),
      )
    for (const subscription of subscriptions) await subscribe(sqs, sns, subscription)
  } finally {
    sqs.destroy()
    sns.destroy()
  }
}

async function subscribe(sqs: SQSClient, sns: SNSClient, subscription: Subscription): Promise<void> {
  const attributes = keepsOrder(subscription) ? { FifoQueue: 'true' } : {}
  for (const name of [queueName(subscription), deadLetterName(subscription)])
    await sqs.send(new CreateQueueCommand({ QueueName: name, Attributes: attributes }))
  for (const topic of subscription.topics)
    await sns.send(
      new SubscribeCommand({
        TopicArn: topicArn(topic),
        Protocol: 'sqs',
        Endpoint: `arn:aws:sqs:${region}:${account}:${queueName(subscription)}`,
        Attributes: { RawMessageDelivery: 'true' },
      }),
    )
}

export function createSqsBroker(endpoint: string): Promise<Broker> {
  const sqs = new SQSClient(connection(endpoint))
  const sns = new SNSClient(connection(endpoint))
  // URLs are configuration and not asked for: a process must be able to start while the queues are out of reach.
  const urlOf = (queue: string): string => new URL(`/${account}/${queue}`, endpoint).toString()
  return Promise.resolve({
    createPublisher: () =>
      createSnsPublisher({
        client: sns,
        source: '/brokerage',
        topicArn: (topic) => {
          const known = allTopics.find((one) => one === topic)
          return known === undefined ? undefined : topicArn(known)
        },
      }),
    createConsumer: (subscription, options) =>
      createSqsConsumer({
        ...options,
        client: sqs,
        queueUrl: urlOf(queueName(subscription)),
        deadLetterQueueUrl: urlOf(deadLetterName(subscription)),
        // What a killed process had in hand comes back after this long.
        visibilityTimeoutMs: 10_000,
      }),
    close: async () => {
      sqs.destroy()
      sns.destroy()
    },
  })
}

function connection(endpoint: string) {
  return {
    endpoint,
    region,
    credentials: { accessKeyId: 'demo', secretAccessKey: 'demo' },
    // The relay and the consumers retry by themselves, and say so.
    maxAttempts: 1,
  }
}
