import { PublishBatchCommand, type PublishBatchRequestEntry, type SNSClient } from '@aws-sdk/client-sns'
import type { Publisher } from '@malote/outbox-core'
import { createBatchPublisher } from './batch-publisher.ts'
import {
  type BatchPublisherOptions,
  type Destinations,
  isFifo,
  resolveBatchOptions,
  resolveDestinations,
  snsMaxBytes,
  snsRaisedMaxBytes,
} from './options.ts'
import type { Outgoing } from './send-plan.ts'

/** With which client `createSnsPublisher` sends, and to which SNS topic each topic goes. */
export interface SnsPublisherOptions extends BatchPublisherOptions {
  /** Ready to use: credentials, region, retries and timeouts are yours. Never closed by the publisher. */
  readonly client: Pick<SNSClient, 'send'>
  /** SNS topic ARN of each topic. An ARN that ends in `.fifo` is a FIFO topic. Subscribe queues with raw message delivery. */
  readonly topicArn: Destinations
}

/**
 * Publishes to SNS topics, which fan out to the queues subscribed to them; `createSqsConsumer` reads those queues.
 *
 * Subscribe the queues with raw message delivery: otherwise SNS wraps each message in JSON of its own and the consumer
 * dead-letters it, saying so. `accepted` means that SNS has the message durably; a queue that SNS may not write to loses it
 * behind the publisher's back, so give subscriptions a redrive policy.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export function createSnsPublisher(options: SnsPublisherOptions): Publisher {
  return createBatchPublisher({
    name: 'sns',
    destinationOf: resolveDestinations(options.topicArn),
    options: resolveBatchOptions(options, snsMaxBytes),
    permanentAboveBytes: snsRaisedMaxBytes,
    sendBatch: (request, signal) =>
      options.client.send(
        new PublishBatchCommand({
          TopicArn: request[0]?.destination,
          PublishBatchRequestEntries: request.map(entryOf),
        }),
        { abortSignal: signal },
      ),
  })
}

function entryOf(one: Outgoing, index: number): PublishBatchRequestEntry {
  const { body, attributes, group } = one.encoded
  const fifo = isFifo(one.destination) ? { MessageGroupId: group, MessageDeduplicationId: one.message.id } : {}
  return { Id: String(index), Message: body, MessageAttributes: attributes, ...fifo }
}
