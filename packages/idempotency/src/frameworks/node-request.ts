import type { IncomingMessage } from 'node:http'
import { IdempotencyError } from '../errors.ts'
import type { HttpRequest } from '../http/http.ts'

/** A Node.js request as an operation wants it. Headers come from the raw list: `headers` joins or drops repeated ones. */
export function nodeRequest(raw: IncomingMessage, url: string, body: Uint8Array): HttpRequest {
  return { method: raw.method ?? 'GET', url, headers: (name) => headerValues(raw.rawHeaders, name), body }
}

/**
 * The bytes that were kept of a body; none when the request has none.
 *
 * @param advice - what keeps them
 * @throws IdempotencyError `INVALID_OPTION` when they were not kept: two requests could not be told apart
 */
export function keptBody(raw: IncomingMessage, kept: Buffer | undefined, advice: string): Buffer {
  if (kept !== undefined) return kept
  const hasBody = raw.headers['transfer-encoding'] !== undefined || Number(raw.headers['content-length'] ?? 0) > 0
  if (!hasBody) return Buffer.alloc(0)
  throw new IdempotencyError('INVALID_OPTION', `the bytes of the body were not kept: ${advice}`)
}

/** @param rawHeaders - names and values in turn, as Node.js keeps them */
function headerValues(rawHeaders: readonly string[], name: string): readonly string[] {
  return rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name)
}
