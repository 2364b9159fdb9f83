import type { Message, MessageAttributeValue } from '@aws-sdk/client-sqs'
import { OutboxError, type ReceivedMessage } from '@malote/outbox-core'
import { decodeEnvelope, decodeForeign } from '@malote/outbox-core/adapter'
import { attributePrefix, bodyEncodingAttribute, packedHeadersAttribute, topicAttribute } from './encode.ts'
import type { ResolvedSqsConsumer } from './options.ts'

/** As the caller's `decode` reads it, else as one of ours or a CloudEvent. @throws OutboxError `UNDECODABLE_MESSAGE` */
export function decodeAny(
  raw: Message,
  { decode, topic, queue }: Pick<ResolvedSqsConsumer, 'decode' | 'topic' | 'queue'>,
): ReceivedMessage {
  const known = { topic: topic ?? queue, body: new TextEncoder().encode(raw.Body ?? ''), sentAt: sentAtOf(raw) }
  const message = decodeForeign(decode, raw, known) ?? decodeMessage(raw, queue)
  return topic === null ? message : { ...message, topic }
}

/** When SQS took it. */
function sentAtOf(raw: Message): Date | undefined {
  const ms = Number(raw.Attributes?.SentTimestamp ?? Number.NaN)
  return Number.isFinite(ms) ? new Date(ms) : undefined
}

/**
 * Reads a message back from what SQS handed over.
 *
 * @throws OutboxError `UNDECODABLE_MESSAGE` saying what is wrong with it
 */
export function decodeMessage(raw: Message, queue: string): ReceivedMessage {
  const attributes = textAttributes(raw.MessageAttributes)
  // What came as an attribute of its own stands: nothing packed may pose as it.
  const headers = { ...unpack(attributes[packedHeadersAttribute]), ...attributes }
  if (attributes[`${attributePrefix}id`] === undefined && isSnsEnvelope(raw.Body))
    throw undecodable('it is wrapped by SNS: turn on raw message delivery for the subscription')
  const body = decodeBody(raw.Body ?? '', headers[bodyEncodingAttribute])
  return decodeEnvelope(headers, body, headers[topicAttribute] ?? queue, attributePrefix, sentAtOf(raw))
}

export function textAttributes(
  attributes: Readonly<Record<string, MessageAttributeValue>> = {},
): Record<string, string> {
  return Object.fromEntries(Object.entries(attributes).map(([name, value]) => [name, value.StringValue ?? '']))
}

function unpack(packed: string | undefined): Record<string, string> {
  if (packed === undefined) return {}
  try {
    const headers: unknown = JSON.parse(packed)
    if (
      headers !== null &&
      typeof headers === 'object' &&
      Object.values(headers).every((one) => typeof one === 'string')
    )
      return headers as Record<string, string>
  } catch {
    // Not JSON: told below.
  }
  throw undecodable(`attribute "${packedHeadersAttribute}" is no JSON object of strings`)
}

function decodeBody(body: string, encoding: string | undefined): Uint8Array {
  if (encoding === undefined) return new TextEncoder().encode(body)
  if (encoding === 'base64') return new Uint8Array(Buffer.from(body, 'base64'))
  throw undecodable(`attribute "${bodyEncodingAttribute}" is "${encoding}": only "base64" is known`)
}

function isSnsEnvelope(body = ''): boolean {
  return body.startsWith('{') && body.includes('"TopicArn"') && body.includes('"Type"')
}

function undecodable(why: string): OutboxError {
  return new OutboxError('UNDECODABLE_MESSAGE', `not a message of ours: ${why}`)
}
