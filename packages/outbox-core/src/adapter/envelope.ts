import { OutboxError } from '../errors.ts'
import type { OutboxMessage } from '../message.ts'
import type { ReceivedMessage } from '../received-message.ts'
import { isReservedHeader } from '../reserved-headers.ts'
import { decodeStructured, isStructured } from './structured-event.ts'
import { receivedMessage } from '../received-message.ts'

/** How an adapter writes a message's CloudEvents attributes into the headers of its broker. */
export interface EnvelopeOptions {
  /** What the broker's CloudEvents bindings put before attribute names, for example `ce_` on Kafka. Several where readers differ. */
  readonly prefix: string | readonly string[]
  /** CloudEvents `source`: which application speaks, for example `/brokerage/orders`. */
  readonly source: string
}

/**
 * The broker headers of a message: CloudEvents 1.0 attributes in binary mode (the body stays as it is; the
 * ordering key is the `partitionkey` extension), `content-type`, and
 * the user's headers, trace context among them. A user header whose name is reserved is left out.
 */
export function encodeEnvelope(message: OutboxMessage, options: EnvelopeOptions): Record<string, string> {
  const headers = encodeAttributes(message, options)
  headers[contentTypeHeader] = message.contentType
  return headers
}

/** As `encodeEnvelope`, without `content-type`: for brokers that have a place of their own for it. */
export function encodeAttributes(message: OutboxMessage, { prefix, source }: EnvelopeOptions): Record<string, string> {
  const headers: Record<string, string> = { ...message.headers }
  for (const name in headers) if (name === contentTypeHeader || isReservedHeader(name)) delete headers[name]
  if (typeof prefix === 'string') writeAttributes(headers, message, prefix, source)
  else for (const one of prefix) writeAttributes(headers, message, one, source)
  return headers
}

function writeAttributes(
  headers: Record<string, string>,
  message: OutboxMessage,
  prefix: string,
  source: string,
): void {
  const names = attributeNames(prefix)
  headers[names.specversion] = '1.0'
  headers[names.id] = message.id
  headers[names.source] = source
  headers[names.type] = message.type
  headers[names.time] = message.createdAt.toISOString()
  if (message.orderingKey !== null) headers[names.partitionkey] = message.orderingKey
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

/** What stands before attribute names in the bindings of the CloudEvents specification and of its SDKs. */
const prefixes = ['ce_', 'ce-', 'cloudEvents:', 'cloudEvents_'] as const

/**
 * Reads a CloudEvent from broker headers and body, in binary mode whatever the prefix, or in structured mode.
 *
 * @param topic - what the consumer knows of where it came from
 * @param prefix - the prefix that counts first, when there are attributes of several
 * @param sentAt - instant of an event that has no `time`; the same over redeliveries
 * @throws OutboxError `UNDECODABLE_MESSAGE` naming the attribute that is missing or malformed
 */
export function decodeEnvelope(
  headers: Readonly<Record<string, string>>,
  body: Uint8Array,
  topic: string,
  prefix: string,
  sentAt?: Date,
): ReceivedMessage {
  const own = userHeaders(headers)
  const contentType = headers[contentTypeHeader]
  if (contentType !== undefined && isStructured(contentType))
    return receivedMessage({ ...decodeStructured(body), topic, headers: own, sentAt })
  const used = [prefix, ...prefixes].find((one) => headers[`${one}id`] !== undefined) ?? prefix
  const attributes: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers))
    if (name.startsWith(used)) attributes[name.slice(used.length)] = value
  for (const name of ['id', 'type'])
    if ((attributes[name] ?? '') === '') throw undecodable(`attribute "${used}${name}" is missing`)
  return receivedMessage({ attributes, body, contentType, topic, headers: own, sentAt })
}

function userHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => name !== contentTypeHeader && !isReservedHeader(name)),
  )
}

function undecodable(why: string): OutboxError {
  return new OutboxError('UNDECODABLE_MESSAGE', `not a message of ours: ${why}`)
}
