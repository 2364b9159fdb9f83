import { OutboxError } from '../errors.ts'
import type { OutboxMessage } from '../message.ts'
import type { ReceivedMessage } from '../consumer.ts'
import { isUuid } from '../uuid.ts'

export interface EnvelopeOptions {
  /** What the broker's CloudEvents binding puts before attribute names, for example `ce_` on Kafka. */
  readonly prefix: string
  /** CloudEvents `source`: which application speaks, for example `/brokerage/orders`. */
  readonly source: string
}

/**
 * The broker headers of a message: CloudEvents 1.0 attributes in binary mode (the body stays as it is; the
 * ordering key is the `partitionkey` extension), `content-type`, and
 * the user's headers, trace context among them. A user header of the same name as one of ours loses.
 */
export function encodeEnvelope(message: OutboxMessage, options: EnvelopeOptions): Record<string, string> {
  const headers = encodeAttributes(message, options)
  headers[contentTypeHeader] = message.contentType
  return headers
}

/** As `encodeEnvelope`, without `content-type`: for brokers that have a place of their own for it. */
export function encodeAttributes(message: OutboxMessage, { prefix, source }: EnvelopeOptions): Record<string, string> {
  const names = attributeNames(prefix)
  const headers: Record<string, string> = { ...message.headers }
  if (contentTypeHeader in headers) delete headers[contentTypeHeader]
  headers[names.specversion] = '1.0'
  headers[names.id] = message.id
  headers[names.source] = source
  headers[names.type] = message.type
  headers[names.time] = message.createdAt.toISOString()
  if (message.orderingKey !== null) headers[names.partitionkey] = message.orderingKey
  return headers
}

const contentTypeHeader = 'content-type'

interface AttributeNames {
  readonly specversion: string
  readonly id: string
  readonly source: string
  readonly type: string
  readonly time: string
  readonly partitionkey: string
}

const namesByPrefix = new Map<string, AttributeNames>()

/** Put together once: a name made anew for every message costs more than all else here. */
function attributeNames(prefix: string): AttributeNames {
  const known = namesByPrefix.get(prefix)
  if (known !== undefined) return known
  const names: AttributeNames = {
    specversion: `${prefix}specversion`,
    id: `${prefix}id`,
    source: `${prefix}source`,
    type: `${prefix}type`,
    time: `${prefix}time`,
    partitionkey: `${prefix}partitionkey`,
  }
  namesByPrefix.set(prefix, names)
  return names
}

/**
 * Reads a message back from broker headers and body.
 *
 * @param topic - what the consumer knows of where it came from
 * @throws OutboxError `UNDECODABLE_MESSAGE` naming the attribute that is missing or malformed
 */
export function decodeEnvelope(
  headers: Readonly<Record<string, string>>,
  body: Uint8Array,
  topic: string,
  prefix: string,
): ReceivedMessage {
  const id = required(headers, `${prefix}id`).toLowerCase()
  if (!isUuid(id)) throw undecodable(`attribute "${prefix}id" is no UUID`)
  const createdAt = new Date(required(headers, `${prefix}time`))
  if (Number.isNaN(createdAt.getTime())) throw undecodable(`attribute "${prefix}time" is no RFC 3339 instant`)
  return {
    id,
    topic,
    type: required(headers, `${prefix}type`),
    orderingKey: headers[`${prefix}partitionkey`] ?? null,
    headers: userHeaders(headers, prefix),
    body,
    contentType: headers['content-type'] ?? 'application/octet-stream',
    createdAt,
    json: () => parseJson(body, id),
  }
}

function userHeaders(headers: Readonly<Record<string, string>>, prefix: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => name !== 'content-type' && !name.startsWith(prefix)),
  )
}

function required(headers: Readonly<Record<string, string>>, name: string): string {
  const value = headers[name]
  if (value === undefined || value === '') throw undecodable(`attribute "${name}" is missing`)
  return value
}

function parseJson(body: Uint8Array, id: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch (error) {
    throw new OutboxError('UNDECODABLE_MESSAGE', `the body of message ${id} is not JSON`, { cause: error })
  }
}

function undecodable(why: string): OutboxError {
  return new OutboxError('UNDECODABLE_MESSAGE', `not a message of ours: ${why}`)
}
