import type { ReceivedMessage } from '@malote/outbox-core'
import { deadLetterHeader, decodeEnvelope } from '@malote/outbox-core/adapter'
import type { Message } from 'amqplib'
import { attributePrefix } from './encode.ts'

/** Headers this adapter adds when it moves a message to a retry or dead-letter queue. */
export const notes = {
  /** The topic a message had before it was moved: moving changes the routing key. */
  topic: 'malote-topic',
  /** Attempts spent before this delivery. */
  attempts: 'malote-attempts',
  /** Why the message is dead, while it waits for the place for dead letters. */
  letter: 'malote-waiting-letter',
} as const

const notePrefix = 'malote-'

/** Headers RabbitMQ adds on the way, and those it acts on: moving a message must not send it to further queues. */
const brokerHeaders =
  /^(?:x-(?:death|delivery-count|acquired-count|(?:first|last)-death-(?:queue|exchange|reason))|B?CC)$/

/** Whether the header was added on the way, by RabbitMQ or by us, or is an instruction that was carried out already. */
export function isForeignHeader(name: string): boolean {
  return name.startsWith(notePrefix) || brokerHeaders.test(name)
}

/** @throws OutboxError `UNDECODABLE_MESSAGE` naming what is missing or malformed */
export function decodeMessage(message: Message): ReceivedMessage {
  const headers = textHeaders(message)
  const topic = headers[notes.topic] ?? message.fields.routingKey
  const own = Object.entries(headers).filter(([name]) => !isForeignHeader(name))
  const { contentType } = message.properties
  const envelope = Object.fromEntries(own)
  if (typeof contentType === 'string') envelope['content-type'] = contentType
  return decodeEnvelope(envelope, message.content, topic, attributePrefix, sentAtOf(message))
}

/** The producer's own clock, when it set the property: whole seconds. */
export function sentAtOf(message: Message): Date | undefined {
  const timestamp: unknown = message.properties.timestamp
  return typeof timestamp === 'number' && timestamp > 0 ? new Date(timestamp * 1_000) : undefined
}

/**
 * Which delivery of the message this is, from 1.
 *
 * Adds what we noted when it went through a retry queue to what the broker counted. A quorum queue counts every
 * redelivery, also of messages a lost consumer had only prefetched; RabbitMQ 4.3 counts rejections and crashes only. A classic queue
 * only says "before".
 */
export function attemptOf(message: Message): number {
  const headers = message.properties.headers ?? {}
  // Brought back from the dead-letter queue, by whatever tool, a message starts with a full count.
  const noted = deadLetterHeader in headers ? 0 : Number(headers[notes.attempts] ?? 0)
  const counted: unknown = headers['x-delivery-count']
  const redelivered = !message.fields.redelivered ? 0 : typeof counted === 'number' ? counted : 1
  return 1 + (Number.isSafeInteger(noted) && noted > 0 ? noted : 0) + redelivered
}

/** Producers in other languages send numbers and booleans too; tables and arrays have no text form and are left out. */
export function textHeaders(message: Pick<Message, 'properties'>): Record<string, string> {
  const entries: [string, string][] = []
  for (const [name, value] of Object.entries(message.properties.headers ?? {})) {
    if (typeof value === 'string') entries.push([name, value])
    else if (typeof value === 'number' || typeof value === 'boolean') entries.push([name, String(value)])
  }
  return Object.fromEntries(entries)
}
