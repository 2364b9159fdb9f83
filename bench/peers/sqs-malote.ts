import { DeleteQueueCommand } from '@aws-sdk/client-sqs'
import { createSqsConsumer } from '@malote/adapter-sqs'
import type { DeliveryHandler } from '@malote/outbox-core'
import { concurrency, type Consume, longPoll, queueOn } from './sqs.ts'

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
