import { OutboxError } from '../errors.ts'

/** Whether the body is a whole CloudEvent in JSON. Batches of events are none: one delivery is one message. */
export function isStructured(contentType: string): boolean {
  return /^application\/cloudevents\+json\s*(?:;|$)/i.test(contentType)
}

export interface StructuredEvent {
  readonly attributes: Readonly<Record<string, string>>
  readonly body: Uint8Array
  readonly contentType: string
}

/** @throws OutboxError `UNDECODABLE_MESSAGE` */
export function decodeStructured(bytes: Uint8Array): StructuredEvent {
  const { data, data_base64: base64, datacontenttype: type, ...context } = parse(bytes)
  const contentType = typeof type === 'string' ? type : 'application/json'
  const attributes: Record<string, string> = {}
  for (const [name, value] of Object.entries(context))
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      attributes[name] = String(value)
  return { attributes, body: bodyOf(data, base64, contentType), contentType }
}

function bodyOf(data: unknown, base64: unknown, contentType: string): Uint8Array {
  if (typeof base64 === 'string') return new Uint8Array(Buffer.from(base64, 'base64'))
  if (data === undefined) return new Uint8Array()
  const isText = typeof data === 'string' && !/[/+]json\b/i.test(contentType)
  return new TextEncoder().encode(isText ? data : JSON.stringify(data))
}

function parse(bytes: Uint8Array): Record<string, unknown> {
  try {
    const event: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    if (event !== null && typeof event === 'object' && !Array.isArray(event)) return event as Record<string, unknown>
  } catch (cause) {
    throw new OutboxError('UNDECODABLE_MESSAGE', 'a structured CloudEvent whose body is not JSON', { cause })
  }
  throw new OutboxError('UNDECODABLE_MESSAGE', 'a structured CloudEvent whose body is not a JSON object')
}
