import { Consumer } from 'sqs-consumer'
import { type Apply, type Consume, idOf, longPoll, receivers } from './sqs.ts'

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
