import type { OutboxMessage, PublishFailure } from '@malote/outbox-core'
import { encodeAttributes, tooLarge } from '@malote/outbox-core/adapter'
import type { Options } from 'amqplib'
import type { ResolvedPublisherOptions } from './options.ts'
import type { Route } from './topology.ts'

/** What the CloudEvents AMQP binding puts before attribute names in the headers. */
export const attributePrefix = 'cloudEvents:'
/** The message's topic, where it is not the routing key. */
const topicHeader = 'malote-topic'
/** Written beside it: some SDKs read AMQP 0-9-1 only so. */
const otherPrefix = 'ce-'
const prefixes: readonly string[] = [attributePrefix, otherPrefix]

/** A message as amqplib takes it. */
export interface EncodedMessage {
  readonly id: string
  readonly exchange: string
  readonly routingKey: string
  readonly content: Buffer
  readonly properties: Options.Publish
}

/** AMQP carries names and some properties as short strings: at most this many bytes. */
const maxShortBytes = 255

/** Headers that RabbitMQ itself acts on; with a string in them it closes the channel under every message on it. */
const reservedHeaders = ['CC', 'BCC']

/** Turns a message into what goes on the wire, or says why it cannot. Pure. */
export function encodeMessage(
  message: OutboxMessage,
  options: Pick<ResolvedPublisherOptions, 'source' | 'route' | 'maxMessageBytes'>,
): EncodedMessage | PublishFailure {
  const route = routeOf(message, options.route)
  if ('kind' in route) return route
  const { exchange, routingKey } = route
  const content = typeof message.body === 'string' ? Buffer.from(message.body) : bytes(message.body)
  const problem = problemOf(message, routingKey, content.length, options.maxMessageBytes)
  if (problem !== null) return problem
  const headers = encodeAttributes(message, { prefix: prefixes, source: options.source })
  // The routing key names it otherwise.
  if (routingKey !== message.topic) headers[topicHeader] = message.topic
  const properties: Options.Publish = {
    mandatory: true,
    persistent: true,
    messageId: message.id,
    contentType: message.contentType,
    timestamp: Math.floor(message.createdAt.getTime() / 1000),
    headers,
  }
  // The headers carry the type in any case; the native field is for people and other languages.
  if (isShort(message.type)) properties.type = message.type
  return { id: message.id, exchange, routingKey, content, properties }
}

function routeOf(
  { topic, orderingKey }: OutboxMessage,
  route: ResolvedPublisherOptions['route'],
): Route | PublishFailure {
  try {
    return route(topic, orderingKey)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    const message = `option "route" threw: ${why}`
    return { kind: 'unavailable', destination: `topic "${topic}"`, code: 'INVALID_ROUTE', message, cause: error }
  }
}

function problemOf(
  message: OutboxMessage,
  routingKey: string,
  bodyBytes: number,
  maxBytes: number,
): PublishFailure | null {
  if (bodyBytes > maxBytes)
    return tooLarge(
      'the body',
      bodyBytes,
      maxBytes,
      "raise the broker's max_message_size together with maxMessageBytes",
    )
  const reserved = reservedHeaders.find((name) => name in message.headers)
  if (reserved !== undefined) return unencodable(`header "${reserved}" is an instruction to RabbitMQ: rename it`)
  const long = Object.keys(message.headers).find((name) => !isShort(name))
  if (long !== undefined) return unencodable(`header name "${long.slice(0, 40)}…" is longer than 255 bytes`)
  if (!isShort(message.contentType)) return unencodable('the content type is longer than 255 bytes')
  if (!isShort(routingKey)) {
    // Another "route" can map the topic to a shorter key.
    const destination = `topic "${message.topic}"`
    return {
      kind: 'unavailable',
      destination,
      code: 'INVALID_ROUTE',
      message: 'the routing key is longer than 255 bytes',
    }
  }
  return null
}

/** UTF-8 needs at most three bytes for a UTF-16 unit: most names need not be counted. */
function isShort(text: string): boolean {
  return text.length * 3 <= maxShortBytes || Buffer.byteLength(text) <= maxShortBytes
}

/** A failure that no broker could mend. */
export function unencodable(why: string): PublishFailure {
  return { kind: 'permanent', code: 'UNENCODABLE', message: why }
}

function bytes(body: Uint8Array): Buffer {
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength)
}
