import type { ReceivedMessage } from '@malote/outbox-core'
import { decodeEnvelope } from '@malote/outbox-core/adapter'
import type { Message } from 'amqplib'
import { attributePrefix } from './encode.ts'
import { isRetryQueueOf } from './topology.ts'

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
  const envelope = textHeaders(message)
  const topic = envelope[notes.topic] ?? message.fields.routingKey
  for (const name of Object.keys(envelope)) if (isForeignHeader(name)) delete envelope[name]
  const { contentType } = message.properties
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
 *
 * A message that did not come straight from a retry queue of ours starts with a full count: whoever brought it back from a dead-letter queue, a shovel
 * or the console, left our notes on it.
 */
export function attemptOf(message: Message, queue: string): number {
  const headers = message.properties.headers ?? {}
  const noted = cameFromRetryQueue(message, queue) ? Number(headers[notes.attempts] ?? 0) : 0
  const counted: unknown = headers['x-delivery-count']
  const redelivered = !message.fields.redelivered ? 0 : typeof counted === 'number' ? counted : 1
  return 1 + (Number.isSafeInteger(noted) && noted > 0 ? noted : 0) + redelivered
}

/** How RabbitMQ says that a message left a queue. */
export interface XDeath {
  readonly reason?: string
  readonly queue?: string
  readonly time?: { readonly value?: unknown }
  readonly 'routing-keys'?: readonly string[]
}

/** RabbitMQ's own list of how the message left queues, the last first. */
export function deathsOf(message: Pick<Message, 'properties'>): readonly XDeath[] {
  const deaths: unknown = message.properties.headers?.['x-death']
  return Array.isArray(deaths) ? (deaths as readonly XDeath[]) : []
}

/**
 * Whether a retry queue of `queue` is where the message was last. An earlier place in RabbitMQ's list proves nothing: the message may have gone to
 * the dead-letter queue since (rejected, expired, dropped) and been brought back with every header it had.
 */
export function cameFromRetryQueue(message: Pick<Message, 'properties'>, queue: string): boolean {
  return isRetryQueueOf(queue, deathsOf(message)[0]?.queue)
}

/** Producers in other languages send numbers, booleans and instants too; tables and arrays have no text form and are left out. */
export function textHeaders(message: Pick<Message, 'properties'>): Record<string, string> {
  const entries: [string, string][] = []
  for (const [name, value] of Object.entries(message.properties.headers ?? {})) {
    const text = typeof value === 'string' ? value : textOf(name, value)
    if (text !== null) entries.push([name, text])
  }
  return Object.fromEntries(entries)
}

const timeAttribute = /^(?:ce[-_]|cloudEvents[:_])time$/

/** The CloudEvents binding for AMQP lets an event's `time` be milliseconds since 1970, or AMQP's own instant. */
function textOf(name: string, value: unknown): string | null {
  const { '!': kind, value: seconds } = Object(value) as { readonly '!'?: unknown; readonly value?: unknown }
  if (kind === 'timestamp') return isoOf(Number(seconds) * 1_000)
  if (typeof value === 'number' && timeAttribute.test(name)) return isoOf(value)
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : null
}

function isoOf(ms: number): string | null {
  const instant = new Date(ms)
  return Number.isNaN(instant.getTime()) ? null : instant.toISOString()
}
