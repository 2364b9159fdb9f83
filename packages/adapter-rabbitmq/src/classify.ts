import type { PublishFailure } from '@malote/outbox-core'
import type { ChannelError, Confirm } from './confirm-port.ts'
import type { Route } from './topology.ts'

/** AMQP reply codes that close a channel, by the names RabbitMQ prints. */
const channelCodes: Readonly<Record<number, string>> = {
  403: 'ACCESS_REFUSED',
  404: 'NOT_FOUND',
  405: 'RESOURCE_LOCKED',
  406: 'PRECONDITION_FAILED',
}

/** Where a message was sent, for operators. */
function destinationOf({ exchange, routingKey }: Route): string {
  return `exchange "${exchange}" with routing key "${routingKey}"`
}

/** Turns what the broker said of one message into our vocabulary. Never a fault of the message: an operator can mend queues, bindings and limits. */
export function classifyConfirm(
  confirm: Exclude<Confirm, { kind: 'accepted' | 'unknown' }>,
  route: Route,
): PublishFailure {
  const unavailable = { kind: 'unavailable', destination: destinationOf(route) } as const
  if (confirm.kind === 'returned') {
    return {
      ...unavailable,
      code: 'UNROUTABLE',
      message: `returned by the broker (${String(confirm.code)} ${confirm.text}): no queue is bound for its exchange and routing key`,
    }
  }
  return { ...unavailable, code: 'NACKED', message: 'refused by a queue: it is full or could not store the message' }
}

/** Why the broker closed the channel under a message that was alone on it. */
export function classifyChannelError(error: ChannelError, route: Route): PublishFailure {
  const code = channelCodes[error.code ?? 0] ?? 'CHANNEL_CLOSED'
  const words = { code, message: error.message, cause: error }
  return concernsExchange(error)
    ? { kind: 'unavailable', destination: destinationOf(route), ...words }
    : { kind: 'retryable', ...words }
}

/** Whether the error speaks of the message's exchange, so that no other message can pass through it either. */
export function concernsExchange(error: ChannelError): boolean {
  return error.code === 404 || error.code === 403
}
