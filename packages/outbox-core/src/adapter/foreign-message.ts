import type { ForeignMessage } from '../consumer.ts'
import type { ReceivedMessage } from '../received-message.ts'
import { OutboxError } from '../errors.ts'
import { receivedMessage } from '../received-message.ts'

/**
 * Completes what a caller's `decode` made of a delivery.
 *
 * @param known - what the adapter knows without reading the body
 * @returns null when `decode` left the delivery to the adapter
 * @throws OutboxError `UNDECODABLE_MESSAGE` also for whatever `decode` threw
 */
export function decodeForeign<Raw>(
  decode: ((raw: Raw) => ForeignMessage | null) | null,
  raw: Raw,
  known: { readonly topic: string; readonly body: Uint8Array; readonly sentAt?: Date | undefined },
): ReceivedMessage | null {
  if (decode === null) return null
  let foreign: ForeignMessage | null
  try {
    foreign = decode(raw)
  } catch (cause) {
    throw new OutboxError('UNDECODABLE_MESSAGE', `option "decode" threw: ${String(cause)}`, { cause })
  }
  return foreign === null ? null : complete(foreign, known)
}

function complete(
  foreign: ForeignMessage,
  known: { readonly topic: string; readonly body: Uint8Array; readonly sentAt?: Date | undefined },
): ReceivedMessage {
  const { id, type, orderingKey, createdAt, attributes = {}, body = known.body } = foreign
  const named: Record<string, string> = { ...attributes, id, type }
  if (createdAt !== undefined) named['time'] = createdAt.toISOString()
  if (orderingKey !== undefined && orderingKey !== null) named['partitionkey'] = orderingKey
  return receivedMessage({
    attributes: named,
    body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
    contentType: foreign.contentType ?? 'application/json',
    topic: foreign.topic ?? known.topic,
    headers: foreign.headers ?? {},
    sentAt: known.sentAt,
  })
}
