import type { PublishFailure } from '@malote/outbox-core'
import type { ChannelError, Confirm } from './confirm-port.ts'

/** AMQP reply codes that close a channel, by the names RabbitMQ prints. */
const channelCodes: Readonly<Record<number, string>> = {
  403: 'ACCESS_REFUSED',
  404: 'NOT_FOUND',
  405: 'RESOURCE_LOCKED',
  406: 'PRECONDITION_FAILED',
}

/** Turns what the broker said of one message into our vocabulary. Everything is retryable: an operator can mend queues, bindings, rights and limits. */
export function classifyConfirm(confirm: Exclude<Confirm, { kind: 'accepted' | 'unknown' }>): PublishFailure {
  if (confirm.kind === 'returned') {
    return {
      kind: 'retryable',
      code: 'UNROUTABLE',
      message: `returned by the broker (${String(confirm.code)} ${confirm.text}): no queue is bound for its exchange and routing key`,
    }
  }
  return { kind: 'retryable', code: 'NACKED', message: 'refused by a queue: it is full or could not store the message' }
}

/** Why the broker closed the channel under a message that was alone on it. */
export function classifyChannelError(error: ChannelError): PublishFailure {
  const code = channelCodes[error.code ?? 0] ?? 'CHANNEL_CLOSED'
  return { kind: 'retryable', code, message: error.message, cause: error }
}

/** Whether the error speaks of the message's exchange, so that no other message can pass through it either. */
export function concernsExchange(error: ChannelError): boolean {
  return error.code === 404 || error.code === 403
}

export const aborted: PublishFailure = {
  kind: 'retryable',
  code: 'ABORTED',
  message: 'the publish was aborted before the broker confirmed the message',
}

export const connectionLost: PublishFailure = {
  kind: 'retryable',
  code: 'CONNECTION_LOST',
  message: 'the connection was lost before the broker confirmed the message',
}
