import { validateHeaderName, validateHeaderValue } from 'node:http'
import { IdempotencyError } from '../errors.ts'
import type { HandlerResponse, HttpResponse } from './http.ts'

/** What becomes of a handler's effects and of its response. */
export type ResponseFate = 'store' | 'store-and-undo' | 'undo'

/** Statuses that say something about the caller or the moment, not about the request: a retry must be judged anew. */
const notStored: ReadonlySet<number> = new Set([401, 403, 408, 413, 425, 429])

/** The store policy: what becomes of a response, by its status. */
export function fateOf(response: HandlerResponse): ResponseFate {
  if (response.status >= 500 || notStored.has(response.status)) return 'undo'
  const effects = response.effects ?? (response.status < 400 ? 'keep' : 'discard')
  return effects === 'keep' ? 'store' : 'store-and-undo'
}

/**
 * Encodes what a handler returned into the bytes that are stored, sent, and sent again.
 *
 * Before COMMIT: a response that no server can send would be one that no retry ever gets either.
 *
 * @throws IdempotencyError `INVALID_RESPONSE` for a status outside 200–599, a body with a status that has none, a header that
 *   cannot be sent, a stream, or a value JSON cannot carry
 */
export function encodeResponse(response: HandlerResponse): HttpResponse {
  if (typeof response !== 'object' || response === null || !Number.isInteger(response.status))
    throw invalidResponse('a handler must return { status, headers?, body? }')
  if (response.status < 200 || response.status > 599)
    throw invalidResponse(`a handler returned status ${String(response.status)}: it must be from 200 to 599`)
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(response.headers ?? {}))
    headers[name.toLowerCase()] = sendable(name, value)
  const [body, contentType] = encodeBody(response.body)
  if (body !== null && bodyless.has(response.status))
    throw invalidResponse(
      `a handler returned a body with status ${String(response.status)}, which has none: leave it out`,
    )
  if (contentType !== undefined) headers['content-type'] ??= contentType
  return { status: response.status, headers, body }
}

/** Statuses that are never followed by a body. */
const bodyless: ReadonlySet<number> = new Set([204, 205, 304])

/** Headers that belong to the connection, or to bytes that are not what the handler returned. */
const connectionHeaders: ReadonlySet<string> = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'keep-alive',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** @throws IdempotencyError `INVALID_RESPONSE` */
function sendable(name: string, value: unknown): string {
  if (connectionHeaders.has(name.toLowerCase()))
    throw invalidResponse(`a handler returned header "${name}": leave it to the server, which knows what it sends`)
  const text = typeof value === 'number' ? String(value) : value
  if (typeof text !== 'string')
    throw invalidResponse(`a handler returned header "${name}" with a value that is not a string`)
  try {
    validateHeaderName(name)
    validateHeaderValue(name, text)
  } catch (error) {
    throw new IdempotencyError(
      'INVALID_RESPONSE',
      `a handler returned header ${JSON.stringify(name)} with characters that a header cannot carry: encode them, with encodeURI for a location`,
      { cause: error },
    )
  }
  return text
}

function encodeBody(body: unknown): [body: Buffer | null, contentType?: string] {
  if (body === undefined || body === null) return [null]
  if (typeof body === 'string') return [Buffer.from(body), 'text/plain; charset=utf-8']
  if (body instanceof Uint8Array) return [Buffer.from(body), 'application/octet-stream']
  if (typeof body === 'object' && ('pipe' in body || 'getReader' in body || Symbol.asyncIterator in body))
    throw invalidResponse('a handler returned a stream: a response must be complete before its transaction commits')
  try {
    return [Buffer.from(JSON.stringify(body)), 'application/json; charset=utf-8']
  } catch (error) {
    throw new IdempotencyError('INVALID_RESPONSE', 'a handler returned a body that JSON cannot carry', { cause: error })
  }
}

function invalidResponse(message: string): IdempotencyError {
  return new IdempotencyError('INVALID_RESPONSE', message)
}

/** Headers of the stored response: about the resource. Cookies, dates, traces and hops belong to one exchange only. */
const storedHeaders: readonly string[] = ['content-type', 'content-language', 'location', 'etag', 'link']
const neverStored: ReadonlySet<string> = new Set([
  'set-cookie',
  'authorization',
  'proxy-authorization',
  'www-authenticate',
  'connection',
  'keep-alive',
  'transfer-encoding',
  'content-length',
  'content-encoding',
  'upgrade',
  'te',
  'trailer',
  'date',
  'traceparent',
  'tracestate',
])

/** Which headers are stored: the default list and the given names. @throws IdempotencyError `INVALID_OPTION` for a name that must not be */
export function storedHeaderNames(more: readonly string[] = []): ReadonlySet<string> {
  const names = more.map((name) => name.toLowerCase())
  const refused = names.find((name) => neverStored.has(name) || name.startsWith('access-control-'))
  if (refused !== undefined)
    throw new IdempotencyError(
      'INVALID_OPTION',
      `header "${refused}" belongs to one exchange and must not be replayed: take it out of "storedHeaders"`,
    )
  return new Set([...storedHeaders, ...names])
}

export function pickHeaders(
  headers: Readonly<Record<string, string>>,
  names: ReadonlySet<string>,
): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => names.has(name)))
}
