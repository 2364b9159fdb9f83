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
  const { prefix } = options
  return {
    ...message.headers,
    'content-type': message.contentType,
    [`${prefix}specversion`]: '1.0',
    [`${prefix}id`]: message.id,
    [`${prefix}source`]: options.source,
    [`${prefix}type`]: message.type,
    [`${prefix}time`]: message.createdAt.toISOString(),
    ...(message.orderingKey === null ? {} : { [`${prefix}partitionkey`]: message.orderingKey }),
  }
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
