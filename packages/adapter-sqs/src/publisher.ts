import { SendMessageBatchCommand, type SendMessageBatchRequestEntry } from '@aws-sdk/client-sqs'
import type { Publisher } from '@malote/outbox-core'
import { createBatchPublisher } from './batch-publisher.ts'
import { isFifo, resolveBatchOptions, resolveDestinations, type SqsPublisherOptions, sqsMaxBytes } from './options.ts'
import type { Outgoing } from './send-plan.ts'

/**
 * Publishes to SQS, standard and FIFO queues alike.
 *
 * On a FIFO queue the ordering key is the message group (hashed when AWS does not allow it as one) and the message id is the
 * deduplication id, so a repeated publish within five minutes arrives once; later repeats are the consumer's inbox's business.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export function createSqsPublisher(options: SqsPublisherOptions): Publisher {
  return createBatchPublisher({
    name: 'sqs',
    destinationOf: resolveDestinations(options.queueUrl),
    options: resolveBatchOptions(options, sqsMaxBytes),
    sendBatch: (request, signal) =>
      options.client.send(
        new SendMessageBatchCommand({ QueueUrl: request[0]?.destination, Entries: request.map(entryOf) }),
        { abortSignal: signal },
      ),
  })
}

function entryOf(one: Outgoing, index: number): SendMessageBatchRequestEntry {
  const { body, attributes, group } = one.encoded
  const fifo = isFifo(one.destination) ? { MessageGroupId: group, MessageDeduplicationId: one.message.id } : {}
  return { Id: String(index), MessageBody: body, MessageAttributes: attributes, ...fifo }
}
