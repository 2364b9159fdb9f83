import { createHash } from 'node:crypto'
import type { MessageAttributeValue } from '@aws-sdk/client-sqs'
import type { OutboxMessage } from '@malote/outbox-core'
import { encodeEnvelope } from '@malote/outbox-core/adapter'
import type { Characters } from './options.ts'

/** CloudEvents attributes carry this before their names; SQS allows no colon. */
export const attributePrefix = 'ce-'
/** Holds, as one JSON object, the headers for which no attribute was left or which SQS cannot carry. */
export const packedHeadersAttribute = 'malote-headers'
/** The message's topic: a queue may take several. */
export const topicAttribute = 'malote-topic'
/** `base64` when the body is bytes, empty, or text that SQS refuses. */
export const bodyEncodingAttribute = 'malote-body-encoding'

/** SQS allows ten attributes; the tenth stays free for the reason of a dead letter. */
const maxAttributes = 9
/** Without these a trace breaks at the first consumer that is not ours, so they get an attribute before other headers do. */
const nativeFirst = ['traceparent', 'tracestate']

export interface EncodedMessage {
  readonly body: string
  readonly attributes: Record<string, MessageAttributeValue>
  /** Message group of a FIFO destination. */
  readonly group: string
  /** Size as AWS counts it: body, and name, type and value of every attribute. */
  readonly bytes: number
}

/** Pure: what SQS or SNS is given for a message. */
export function encodeMessage(
  message: OutboxMessage,
  source: string,
  characters: Characters = 'unicode',
): EncodedMessage {
  const isCarried = carried[characters]
  const headers = encodeEnvelope(message, { prefix: attributePrefix, source })
  const body = encodeBody(message.body, isCarried)
  headers[topicAttribute] = message.topic
  if (body.isBase64) headers[bodyEncodingAttribute] = 'base64'
  const attributes = encodeHeaders(headers, isCarried)
  return { body: body.text, attributes, group: groupOf(message), bytes: sizeOf(body.text, attributes) }
}

function encodeBody(body: Uint8Array | string, isCarried: IsCarried): { text: string; isBase64: boolean } {
  if (typeof body === 'string' && body !== '' && isCarried(body)) return { text: body, isBase64: false }
  const base64 = Buffer.from(typeof body === 'string' ? new TextEncoder().encode(body) : body).toString('base64')
  // SQS refuses an empty body; a lone padding character decodes to no bytes.
  return { text: base64 === '' ? '=' : base64, isBase64: true }
}

/** Gives each header an attribute of its own while there is room; what is left, or cannot be one, is packed. */
function encodeHeaders(
  headers: Readonly<Record<string, string>>,
  isCarried: IsCarried,
): Record<string, MessageAttributeValue> {
  const names = Object.keys(headers)
  const canBeNative = (name: string): boolean =>
    isAttributeName(name) && headers[name] !== '' && isCarried(headers[name]!)
  const fitsAll = names.length <= maxAttributes && names.every(canBeNative)
  if (fitsAll) return nativeAttributes(headers, names)
  const native = names
    .filter(canBeNative)
    .sort((a, b) => rank(a) - rank(b))
    .slice(0, maxAttributes - 1)
  const packed = names.filter((name) => !native.includes(name))
  return { ...nativeAttributes(headers, native), [packedHeadersAttribute]: textAttribute(pack(headers, packed)) }
}

const nativeAttributes = (
  headers: Readonly<Record<string, string>>,
  names: readonly string[],
): Record<string, MessageAttributeValue> =>
  Object.fromEntries(names.map((name) => [name, textAttribute(headers[name]!)]))

function rank(name: string): number {
  if (name.startsWith(attributePrefix) || name === 'content-type' || name === bodyEncodingAttribute) return 0
  if (name === topicAttribute) return 3
  return nativeFirst.includes(name) ? 1 + nativeFirst.indexOf(name) : 4
}

function pack(headers: Readonly<Record<string, string>>, names: readonly string[]): string {
  const json = JSON.stringify(Object.fromEntries(names.map((name) => [name, headers[name]])))
  return json.replaceAll(
    /[\u007f\ud800-\udfff\ufffe\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

export function textAttribute(text: string): MessageAttributeValue {
  return { DataType: 'String', StringValue: text }
}

/**
 * The ordering key itself where AWS allows it as a group, else its hash. A message without a key is a group of its own: FIFO
 * destinations demand a group, and it shall wait for nobody.
 */
function groupOf(message: OutboxMessage): string {
  if (message.orderingKey === null) return message.id
  if (/^[\u0021-\u007e]{1,128}$/u.test(message.orderingKey)) return message.orderingKey
  return `sha256:${createHash('sha256').update(message.orderingKey).digest('hex')}`
}

export function sizeOf(body: string, attributes: Readonly<Record<string, MessageAttributeValue>>): number {
  let bytes = Buffer.byteLength(body)
  for (const [name, value] of Object.entries(attributes))
    bytes +=
      Buffer.byteLength(name) + Buffer.byteLength(value.DataType ?? '') + Buffer.byteLength(value.StringValue ?? '')
  return bytes
}

type IsCarried = (text: string) => boolean

const carried: Readonly<Record<Characters, IsCarried>> = {
  // What AWS documents for bodies and attribute values.
  unicode: (text) => /^[\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u.test(text),
  bmp: (text) => /^[\t\n\r\u0020-\ud7ff\ue000-\ufffd]*$/.test(text),
}

/** Of our own attributes it is known: they are on every message. */
function isAttributeName(name: string): boolean {
  return ownAttributes.has(name) || isForeignAttributeName(name)
}

const ownAttributes: ReadonlySet<string> = new Set([
  'content-type',
  topicAttribute,
  ...['specversion', 'id', 'source', 'type', 'time', 'partitionkey'].map((name) => `${attributePrefix}${name}`),
])

function isForeignAttributeName(name: string): boolean {
  return /^(?!aws\.|amazon\.|\.)(?!.*\.\.)[\w.-]{1,256}(?<!\.)$/iu.test(name)
}
