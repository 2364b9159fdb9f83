import { IdempotencyError } from '../errors.ts'
import { decodeBody } from '../http/content-coding.ts'
import type { HandlerResponse, HttpResponse } from '../http/http.ts'

/** A response as a framework has written it: whole, and not sent yet. */
export interface WrittenResponse {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, number | string | readonly string[] | undefined>>
  /** As written, in whatever coding. Null: none. */
  readonly body: Buffer | null
}

/** Belong to the connection or to one client: the server, or the written response itself, has them. */
const leftOut: ReadonlySet<string> = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'keep-alive',
  'set-cookie',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

const maxDecodedBytes = 67_108_864

/**
 * What a handler would have returned. Without content coding: another client may not accept it.
 *
 * @throws IdempotencyError `INVALID_RESPONSE` when the coding cannot be taken off
 */
export async function toHandlerResponse({ status, headers, body }: WrittenResponse): Promise<HandlerResponse> {
  const coding = String(headers['content-encoding'] ?? 'identity')
  const decoded = body === null ? null : await decodeBody(body, coding, maxDecodedBytes)
  if (typeof decoded === 'string' || (decoded === body && body !== null && coding !== 'identity'))
    throw new IdempotencyError(
      'INVALID_RESPONSE',
      `the response is in the coding "${coding}", which cannot be taken off to store it: compress around the middleware`,
    )
  const kept = Object.entries(headers).filter(([name, value]) => !leftOut.has(name) && value !== undefined)
  const texts = kept.map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : String(value)])
  return { status, headers: Object.fromEntries(texts) as Record<string, string>, body: decoded }
}

/** Whether the answer of an operation is what its handler has written, which is sent as it is then: cookies and all. */
export function isAsWritten(answer: HttpResponse, written: HandlerResponse): boolean {
  const body = written.body as Uint8Array | null
  if (answer.status !== written.status || (answer.body === null) !== (body === null)) return false
  return answer.body === null || body === null || Buffer.compare(answer.body, body) === 0
}
