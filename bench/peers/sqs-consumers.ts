import {
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  DeleteQueueCommand,
  type Message,
  ReceiveMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import { createSqsConsumer, createSqsPublisher } from '@malote/adapter-sqs'
import type { DeliveryHandler } from '@malote/outbox-core'
import { anOutboxMessage } from '@malote/outbox-core/testing'
import { randomUUID } from 'node:crypto'
import { Consumer } from 'sqs-consumer'
import { payloadText } from '../harness/load.ts'

/** Handlers that run beside each other, for everyone. */
export const concurrency = 50
/** So many requests of ten messages it takes to keep that many handlers busy. */
const receivers = concurrency / 10
/** In seconds. */
const longPoll = 1

/** Starts to take what waits in the queue; resolves to what stops it. */
export type Consume = (sqs: Sqs, queueUrl: string) => Promise<() => Promise<void>>

/** A server and a client of it. */
export interface Sqs {
  readonly client: SQSClient
  readonly endpoint: string
}

/** Applies one message. */
export type Apply = (id: string) => Promise<unknown>

const idOf = ({ MessageAttributes }: Message): string => MessageAttributes?.['ce-id']?.StringValue ?? ''

/** As few lines as it takes: receive ten, apply them side by side, delete them together. */
export const byTheSdkAlone =
  (apply: Apply): Consume =>
  ({ client }, QueueUrl) => {
    const stopping = new AbortController()
    const request = {
      QueueUrl,
      MaxNumberOfMessages: 10,
      WaitTimeSeconds: longPoll,
      MessageAttributeNames: ['All'],
    }
    const receive = async (): Promise<void> => {
      while (!stopping.signal.aborted) {
        const { Messages = [] } = await client.send(new ReceiveMessageCommand(request))
        await Promise.all(Messages.map((message) => apply(idOf(message))))
        const Entries = Messages.map(({ ReceiptHandle }, at) => ({ Id: String(at), ReceiptHandle }))
        if (Entries.length > 0) await client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }))
      }
    }
    const receiving = Promise.all(Array.from({ length: receivers }, receive))
    return Promise.resolve(async () => {
      stopping.abort()
      await receiving
    })
  }

/** A consumer for each request that is under way, each with its batch handler, which deletes ten messages by one request. */
export const bySqsConsumer =
  (apply: Apply): Consume =>
  ({ client: sqs }, queueUrl) => {
    const consumers = Array.from({ length: receivers }, () => {
      const consumer = Consumer.create({
        queueUrl,
        sqs,
        batchSize: 10,
        waitTimeSeconds: longPoll,
        messageAttributeNames: ['All'],
        handleMessageBatch: async (messages) => {
          await Promise.all(messages.map((message) => apply(idOf(message))))
          return messages
        },
      })
      consumer.on('error', (error) => {
        throw error
      })
      consumer.start()
      return consumer
    })
    const stop = async (consumer: Consumer): Promise<void> => {
      const stopped = new Promise<void>((resolve) => consumer.once('stopped', () => resolve()))
      consumer.stop()
      await stopped
    }
    return Promise.resolve(async () => void (await Promise.all(consumers.map(stop))))
  }

export const byMalote =
  (handler: DeliveryHandler): Consume =>
  async (sqs, queueUrl) => {
    const { client } = sqs
    const deadLetterQueueUrl = await queueOn(sqs)
    const waitTimeMs = longPoll * 1_000
    const consumer = createSqsConsumer({ client, queueUrl, deadLetterQueueUrl, waitTimeMs, concurrency, handler })
    await consumer.start()
    return async () => {
      await consumer.stop()
      await client.send(new DeleteQueueCommand({ QueueUrl: deadLetterQueueUrl }))
    }
  }

/** A queue with `count` messages of so many keys, in turn. */
export async function filledQueue(sqs: Sqs, count: number, keys: number): Promise<string> {
  const { client } = sqs
  const queueUrl = await queueOn(sqs)
  const publisher = createSqsPublisher({ client, queueUrl: () => queueUrl, source: '/bench' })
  const messages = Array.from({ length: count }, (_, at) =>
    anOutboxMessage({ topic: 'orders', orderingKey: `account-${String(at % keys)}`, body: payloadText }),
  )
  const results = await publisher.publish(messages, new AbortController().signal)
  await publisher.close()
  if (results.some(({ status }) => status === 'failed')) throw new Error('not all messages were accepted')
  return queueUrl
}

async function queueOn({ client, endpoint }: Sqs): Promise<string> {
  const QueueName = randomUUID()
  await client.send(new CreateQueueCommand({ QueueName }))
  return `${endpoint}/000000000000/${QueueName}`
}
