import { isReservedHeader } from '../reserved-headers.ts'
import type { PublishFailure, PublishResult } from '../publisher.ts'

/**
 * The gate for what publishers hand to the relay, and for what others may have written into its tables. Everything behind it
 * can rely on the types; in front of it nothing can be: publishers are written by others, in JavaScript too, and pass on what
 * brokers and drivers made up. Pure, and never throws unless it says so.
 */

/** Longest code and longest words of a failure that are kept, in characters. */
const maxCode = 100
const maxWords = 1_000

/** Longest pause a broker may ask for: what a timer can count, in milliseconds. */
const longestPauseMs = 2 ** 31 - 1

/**
 * Reads what `publish` resolved with. What names no message is left out, and only exactly `accepted` is an acceptance: of
 * anything else the message is kept and tried again, because a message that is deleted by mistake is lost.
 *
 * @throws TypeError when it is not an array: then nothing is known of any message
 */
export function resultsOf(answer: unknown): PublishResult[] {
  if (!Array.isArray(answer))
    throw new TypeError(`the publisher resolved with ${kindOf(answer)} instead of an array of results`)
  const results: PublishResult[] = []
  for (const given of answer as unknown[]) {
    const { id, status, failure } = fieldsOf(given, ['id', 'status', 'failure'])
    if (typeof id !== 'string') continue
    if (status === 'accepted') results.push({ id, status })
    else if (status === 'failed') results.push({ id, status, failure: failureOf(failure) })
    else results.push({ id, status: 'failed', failure: unknownStatus(status) })
  }
  return results
}

/** Reads a failure. A kind that is not known is `retryable`: a wrong `permanent` kills a good message. */
export function failureOf(given: unknown): PublishFailure {
  const fields = fieldsOf(given, ['kind', 'destination', 'code', 'message', 'retryAfterMs', 'cause'])
  const { kind, destination, code, message, retryAfterMs, cause } = fields
  const words = {
    code: textOf(code, maxCode) ?? 'UNKNOWN',
    message: textOf(message, maxWords) ?? (textOf(given, maxWords) || 'the publisher gave no words for this failure'),
    ...(isPause(retryAfterMs) ? { retryAfterMs: Math.min(retryAfterMs, longestPauseMs) } : {}),
    ...(cause === undefined ? {} : { cause }),
  }
  if (kind === 'unavailable')
    return { kind, destination: textOf(destination, maxWords) ?? 'a destination without a name', ...words }
  return { kind: kind === 'permanent' ? 'permanent' : 'retryable', ...words }
}

/** What an error of any make says, in text that can be stored. */
export function wordsOf(error: unknown): string {
  const { message } = fieldsOf(error, ['message'])
  return textOf(message, maxWords) ?? textOf(error, maxWords) ?? `an error without words (${kindOf(error)})`
}

const noHeaders: Readonly<Record<string, string>> = Object.freeze({})

/**
 * Reads the headers of a row, as `add` would have written them: text by text, none of a reserved name. Plain SQL and rows that
 * are older than the rules of the table may hold any JSON.
 */
export function headersOf(json: string | null): Readonly<Record<string, string>> {
  if (json === null) return noHeaders
  const given: unknown = JSON.parse(json)
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return noHeaders
  const entries = Object.entries(given)
  if (entries.every(isHeader)) return given as Readonly<Record<string, string>>
  const headers: [string, string][] = []
  for (const [name, value] of entries) {
    const entry: [string, unknown] = [sendable(name), headerText(value)]
    if (isHeader(entry)) headers.push(entry)
  }
  return Object.fromEntries(headers)
}

function isHeader(entry: [name: string, value: unknown]): entry is [string, string] {
  const [name, value] = entry
  return name !== '' && typeof value === 'string' && isSendable(name) && isSendable(value) && !isReservedHeader(name)
}

function headerText(value: unknown): string | undefined {
  if (value === null) return undefined
  try {
    return sendable(typeof value === 'string' ? value : JSON.stringify(value))
  } catch {
    return undefined // Nested deeper than JavaScript can write.
  }
}

const isSendable = (text: string): boolean => !text.includes('\0') && text.isWellFormed()
const sendable = (text: string): string => text.replaceAll('\0', '').toWellFormed()

/** The years that every notation of dates can write, in milliseconds since 1970. */
const [firstMs, lastMs] = [Date.parse('0001-01-01T00:00:00Z'), Date.parse('9999-12-31T23:59:59.999Z')]

/** An instant of the database, which knows infinity and years that others cannot write. */
export function instantOf(ms: number): Date {
  return new Date(Math.min(Math.max(ms, firstMs), lastMs))
}

function unknownStatus(status: unknown): PublishFailure {
  const shown = textOf(status, maxCode) ?? kindOf(status)
  const message = `the publisher answered with status ${shown}: only "accepted" and "failed" are known`
  return { kind: 'retryable', code: 'UNKNOWN_STATUS', message }
}

function isPause(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 // Also refuses NaN.
}

/** Text that is not empty and that PostgreSQL can store; undefined for what has no sensible text. */
function textOf(value: unknown, maxLength: number): string | undefined {
  const isPlain = ['string', 'number', 'bigint', 'boolean'].includes(typeof value)
  if (!isPlain) return undefined
  const text = String(value).replaceAll('\0', '').slice(0, maxLength).toWellFormed()
  return text === '' ? undefined : text
}

/** The fields, each undefined where there is none or where reading it throws. */
function fieldsOf<Name extends string>(value: unknown, names: readonly Name[]): Record<Name, unknown> {
  const fields = {} as Record<Name, unknown>
  for (const name of names) {
    try {
      fields[name] = value === null || value === undefined ? undefined : (value as Record<Name, unknown>)[name]
    } catch {
      fields[name] = undefined // A getter or a proxy that throws has nothing to say.
    }
  }
  return fields
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : typeof value
}
