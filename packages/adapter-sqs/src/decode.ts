import type { Message, MessageAttributeValue } from '@aws-sdk/client-sqs'
import { OutboxError, type ReceivedMessage } from '@malote/outbox-core'
import { deadLetterHeader, decodeEnvelope } from '@malote/outbox-core/adapter'
import { attributePrefix, bodyEncodingAttribute, packedHeadersAttribute } from './encode.ts'

/** Attributes that are ours alone and no user header. */
const ownAttributes = new Set([bodyEncodingAttribute, packedHeadersAttribute, deadLetterHeader])

/**
 * Reads a message back from what SQS handed over.
 *
 * @throws OutboxError `UNDECODABLE_MESSAGE` saying what is wrong with it
 */
export function decodeMessage(raw: Message, topic: string): ReceivedMessage {
  const attributes = textAttributes(raw.MessageAttributes)
  // What came as an attribute of its own stands: nothing packed may pose as it.
  const headers = { ...unpack(attributes[packedHeadersAttribute]), ...attributes }
  if (headers[`${attributePrefix}id`] === undefined && isSnsEnvelope(raw.Body))
    throw undecodable('it is wrapped by SNS: turn on raw message delivery for the subscription')
  const body = decodeBody(raw.Body ?? '', headers[bodyEncodingAttribute])
  const own = Object.entries(headers).filter(([name]) => !ownAttributes.has(name))
  return decodeEnvelope(Object.fromEntries(own), body, topic, attributePrefix)
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
