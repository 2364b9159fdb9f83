import type { Attributes } from '@opentelemetry/api'

/**
 * Names of attributes. Those of OpenTelemetry's conventions for messaging are still in development (we follow 1.45), so they
 * stand in this one place; what the conventions have no word for is under `malote.`.
 */
export const attribute = {
  system: 'messaging.system.name',
  /** The name of `system` until 1.44, by which most backends still recognise a messaging span. */
  formerSystem: 'messaging.system',
  operationName: 'messaging.operation.name',
  operationType: 'messaging.operation.type',
  topic: 'messaging.destination.name',
  messageId: 'messaging.message.id',
  batchSize: 'messaging.batch.message_count',
  errorType: 'error.type',
  messageType: 'malote.message.type',
  attempt: 'malote.attempt',
  outcome: 'malote.outcome',
  reason: 'malote.reason',
  /** A queue, exchange or route as the adapter names it. Topics are `messaging.destination.name`. */
  unavailableDestination: 'malote.destination',
} as const

/** Names of our adapters for which the conventions have another one. */
const systems: Readonly<Record<string, { readonly name: string; readonly formerName: string }>> = {
  sqs: { name: 'aws.sqs', formerName: 'aws_sqs' },
  sns: { name: 'aws.sns', formerName: 'aws.sns' },
}

export function systemAttributes(system: string): Attributes {
  const { name, formerName } = systems[system] ?? { name: system, formerName: system }
  return { [attribute.system]: name, [attribute.formerSystem]: formerName }
}
