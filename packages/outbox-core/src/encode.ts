import { OutboxError } from './errors.ts'
import type { MessageId, NewMessage } from './message.ts'
import { isReservedHeader } from './reserved-headers.ts'
import { isUuid, uuidv7 } from './uuid.ts'

/** One element of the JSON array that the writer's statement turns into rows. */
export interface MessageRow {
  readonly id: MessageId
  readonly topic: string
  readonly type: string
  readonly ordering_key?: string
  readonly payload?: string
  readonly payload_base64?: string
  readonly content_type: string
  readonly headers?: Readonly<Record<string, string>>
  readonly available_at?: string
  readonly delay_ms?: number
}

/** Largest body that the table takes, in bytes. The same number stands in the migrations. */
export const maxStoredBytes: number = 64 * 1024 * 1024

/** @see OutboxOptions.maxPayloadBytes */
export const defaultMaxPayloadBytes: number = 16 * 1024 * 1024

/** A hundred years, in milliseconds: beyond it a date is a mistake, and PostgreSQL's own limits are near. */
const longestDelayMs = 100 * 366 * 86_400_000

/** Longest topic, type and ordering key, in characters: what every broker can carry in a name or a header. */
const maxNameLength = 255

/**
 * Turns a message into its row. Pure: no database, no schema.
 *
 * @throws OutboxError `INVALID_MESSAGE` naming the field, `UNSERIALIZABLE_PAYLOAD`, `PAYLOAD_TOO_LARGE`
 */
export function encodeMessage(
  message: NewMessage,
  traceHeaders: Readonly<Record<string, string>>,
  maxPayloadBytes: number = defaultMaxPayloadBytes,
): MessageRow {
  const id = message.id ?? uuidv7()
  if (message.id !== undefined && !isUuid(id))
    throw invalid('id', id, 'a lower-case UUID such as crypto.randomUUID() gives')
  const topic = checkedName('topic', message.topic)
  // A topic and a key are told apart by a newline between them.
  if (topic.includes('\n')) throw invalid('topic', topic, 'text without line breaks')
  const type = checkedName('type', message.type)
  const row: Writable<MessageRow> = { id, topic, type, ...encodePayload(message, id, maxPayloadBytes) }
  if (message.contentType !== undefined) checkedName('contentType', message.contentType)
  if (message.orderingKey !== undefined) row.ordering_key = checkedName('orderingKey', message.orderingKey)
  const headers = encodeHeaders(message.headers, traceHeaders, id)
  if (headers !== null) row.headers = headers
  encodeSchedule(message, row)
  return row
}

type Writable<Type> = { -readonly [Key in keyof Type]: Type[Key] }

export function isScheduled(row: MessageRow): boolean {
  return row.available_at !== undefined || row.delay_ms !== undefined
}

function encodePayload(
  message: NewMessage,
  id: MessageId,
  maxBytes: number,
): Pick<MessageRow, 'payload' | 'payload_base64' | 'content_type'> {
  const { payload, contentType } = message
  if (payload instanceof Uint8Array) {
    checkSize(payload.byteLength, maxBytes, message.type, id)
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
    return { payload_base64: bytes.toString('base64'), content_type: contentType ?? 'application/octet-stream' }
  }
  if (typeof payload === 'string' && contentType !== undefined && !isJson(contentType)) {
    if (payload.includes('\0') || !payload.isWellFormed()) {
      throw unserializable(
        message.type,
        id,
        'text with a NUL or half a surrogate pair cannot be stored: pass a Uint8Array',
      )
    }
    checkSize(Buffer.byteLength(payload), maxBytes, message.type, id)
    return { payload: payload, content_type: contentType }
  }
  const text = stringify(message, id)
  checkSize(Buffer.byteLength(text), maxBytes, message.type, id)
  return { payload: text, content_type: contentType ?? 'application/json' }
}

/** A body that a relay cannot hold would end each relay that reads it. */
function checkSize(bytes: number, maxBytes: number, type: string, id: MessageId): void {
  if (bytes <= maxBytes) return
  throw new OutboxError(
    'PAYLOAD_TOO_LARGE',
    `the payload of message ${id} of type "${type}" has ${String(bytes)} bytes, and maxPayloadBytes allows ${String(maxBytes)}: store it elsewhere and send where it is`,
  )
}

export function isJson(contentType: string): boolean {
  return /^application\/(?:[^;]+\+)?json\s*(?:;|$)/i.test(contentType)
}

function stringify(message: NewMessage, id: MessageId): string {
  let text: string | undefined
  try {
    text = JSON.stringify(message.payload)
  } catch (error) {
    throw unserializable(message.type, id, 'JSON.stringify refused it (a cycle or a bigint?)', error)
  }
  if (text === undefined) throw unserializable(message.type, id, `${typeof message.payload} has no JSON form`)
  return text
}

function encodeSchedule({ availableAt, delayMs }: NewMessage, row: Writable<MessageRow>): void {
  if (availableAt !== undefined && delayMs !== undefined)
    throw invalid('delayMs', delayMs, 'absent when availableAt is given')
  if (availableAt !== undefined) {
    if (!(availableAt instanceof Date) || Number.isNaN(availableAt.getTime()))
      throw invalid('availableAt', availableAt, 'a valid Date')
    const year = availableAt.getUTCFullYear()
    if (year < 1 || year > 9999) throw invalid('availableAt', availableAt.getTime(), 'a Date of the years 1 to 9999')
    row.available_at = availableAt.toISOString()
  } else if (delayMs !== undefined && delayMs !== 0) {
    if (!(typeof delayMs === 'number' && delayMs >= 0 && delayMs <= longestDelayMs))
      throw invalid('delayMs', delayMs, 'a number of milliseconds from 0 to a hundred years')
    row.delay_ms = delayMs
  }
}

function checkedName(field: string, value: string): string {
  const fits = typeof value === 'string' && value.length > 0 && value.length <= maxNameLength
  if (!fits || value.includes('\0') || !value.isWellFormed())
    throw invalid(field, value, `text of 1 to ${String(maxNameLength)} characters without NUL`)
  return value
}

/** The caller's headers over those of the trace; null when there are none. */
function encodeHeaders(
  headers: NewMessage['headers'],
  traceHeaders: Readonly<Record<string, string>>,
  id: MessageId,
): Readonly<Record<string, string>> | null {
  checkHeaders(headers ?? {}, id)
  const all = { ...traceHeaders, ...headers }
  return Object.keys(all).length === 0 ? null : all
}

function checkHeaders(headers: Readonly<Record<string, string>>, id: MessageId): void {
  for (const [name, value] of Object.entries(headers)) {
    if (isReservedHeader(name))
      throw new OutboxError(
        'INVALID_MESSAGE',
        `header "${name}" of message ${id} is reserved for this library and CloudEvents: rename it`,
      )
    if (
      name === '' ||
      typeof value !== 'string' ||
      `${name}${value}`.includes('\0') ||
      !`${name}${value}`.isWellFormed()
    ) {
      throw new OutboxError(
        'INVALID_MESSAGE',
        `header "${name}" of message ${id} must be a non-empty name with a string value without NUL`,
      )
    }
  }
}

function invalid(field: string, value: unknown, allowed: string): OutboxError {
  const shown = typeof value === 'string' ? `"${value.slice(0, 40)}"` : String(value)
  return new OutboxError('INVALID_MESSAGE', `message field "${field}" is ${shown}: it must be ${allowed}`)
}

function unserializable(type: string, id: MessageId, why: string, cause?: unknown): OutboxError {
  return new OutboxError(
    'UNSERIALIZABLE_PAYLOAD',
    `the payload of message ${id} of type "${type}" cannot be stored: ${why}`,
    { cause },
  )
}
