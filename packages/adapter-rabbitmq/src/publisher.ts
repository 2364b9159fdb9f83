import type { Publisher } from '@malote/outbox-core'
import { createPublisher } from '@malote/outbox-core/adapter'
import { createBatchOrder } from './batch-order.ts'
import { createConfirmChannels } from './confirm-channels.ts'
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
  const channels = createConfirmChannels(resolved.connect, resolved.reconnectBackoff)
  return createPublisher({
    name: 'rabbitmq',
    publish: (batch, signal) =>
      sendBatch(batch, createBatchOrder(batch, resolved.ordering), channels, resolved, signal),
    release: () => channels.close(),
  })
}
