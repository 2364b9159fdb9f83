import { OutboxError } from './errors.ts'
import type { MessageId } from './message.ts'
import { isUuid } from './uuid.ts'

/** A message as a consumer receives it: decoded from the broker's headers, the body not parsed. */
export interface ReceivedMessage {
  /** A lower-case UUID from our own publishers; from others whatever identifies the event. */
  readonly id: MessageId
  readonly topic: string
  readonly type: string
  readonly orderingKey: string | null
  readonly headers: Readonly<Record<string, string>>
  /** CloudEvents attributes as they came, `source`, `subject`, `dataschema` and extensions among them. */
  readonly attributes?: Readonly<Record<string, string>>
  readonly body: Uint8Array
  readonly contentType: string
  /** When the producer's transaction began. Immutable over redeliveries: the inbox may partition by it. */
  readonly createdAt: Date
  /** Parses the body as JSON. @throws OutboxError `UNDECODABLE_MESSAGE` when it is none. */
  json(): unknown
}

/** What a consumer knows of a message before it hands the message to a handler. */
export interface ReceivedParts {
  /** CloudEvents attributes by their plain names; `id` and `type` are required. */
  readonly attributes: Readonly<Record<string, string>>
  readonly body: Uint8Array
  readonly contentType?: string | undefined
  readonly topic: string
  readonly headers: Readonly<Record<string, string>>
  readonly sentAt?: Date | undefined
}

/** @throws OutboxError `UNDECODABLE_MESSAGE` */
export function receivedMessage(parts: ReceivedParts): ReceivedMessage {
  const { attributes, body, topic, headers, sentAt } = parts
  const { id: givenId = '', type = '', time, partitionkey = null } = attributes
  if (givenId === '' || type === '')
    throw new OutboxError('UNDECODABLE_MESSAGE', `a message without ${givenId === '' ? 'an id' : 'a type'}`)
  const id = isUuid(givenId.toLowerCase()) ? givenId.toLowerCase() : givenId
  return {
    id,
    topic,
    type,
    orderingKey: partitionkey,
    headers,
    attributes,
    body,
    contentType: parts.contentType ?? attributes['datacontenttype'] ?? 'application/octet-stream',
    createdAt: time === undefined ? (sentAt ?? new Date(0)) : instantOf(time),
    json: () => parseJson(body, id),
  }
}

function instantOf(time: string): Date {
  const instant = new Date(time)
  if (Number.isNaN(instant.getTime()))
    throw new OutboxError('UNDECODABLE_MESSAGE', 'attribute "time" is not an RFC 3339 instant')
  return instant
}

/** Made once: a decoder costs more than a body takes to decode. It keeps nothing from one body to the next. */
const utf8 = new TextDecoder('utf-8', { fatal: true })

function parseJson(body: Uint8Array, id: string): unknown {
  try {
    return JSON.parse(utf8.decode(body))
  } catch (error) {
    throw new OutboxError('UNDECODABLE_MESSAGE', `the body of message ${id} is not JSON`, { cause: error })
  }
}
