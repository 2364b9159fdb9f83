import { type OutboxMessage, OutboxError, type Publisher, type PublishResult } from '@malote/outbox-core'
import { createBatchOrder } from './batch-order.ts'
import { type ConfirmChannels, createConfirmChannels } from './confirm-channels.ts'
import { type RabbitmqPublisherOptions, resolvePublisherOptions } from './options.ts'
import { sendBatch } from './send-batch.ts'

/**
 * Publishes with confirms: `accepted` means that every queue the message was routed to has it (a quorum queue: on a majority of
 * its nodes; a classic durable queue: on disk). A message no queue is bound for is returned and fails as `UNROUTABLE`.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export function createRabbitmqPublisher(options: RabbitmqPublisherOptions): Publisher {
  const resolved = resolvePublisherOptions(options)
  const channels: ConfirmChannels = createConfirmChannels(resolved.connect, resolved.reconnectBackoff)
  const underWay = new Set<Promise<unknown>>()
  let closing: Promise<void> | null = null

  async function publish(batch: readonly OutboxMessage[], signal: AbortSignal): Promise<readonly PublishResult[]> {
    if (closing !== null)
      throw new OutboxError('PUBLISHER_CLOSED', 'this RabbitMQ publisher was closed: create another one')
    const work = sendBatch(batch, createBatchOrder(batch, resolved.ordering), channels, resolved, signal)
    underWay.add(work)
    try {
      return await work
    } finally {
      underWay.delete(work)
    }
  }

  async function close(): Promise<void> {
    await Promise.allSettled(underWay)
    await channels.close()
  }

  return { name: 'rabbitmq', publish, close: () => (closing ??= close()) }
}
