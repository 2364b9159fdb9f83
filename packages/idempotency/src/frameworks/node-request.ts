import type { IncomingMessage } from 'node:http'
import type { HttpRequest } from '../http/http.ts'
import type { KeptBody } from './peek-body.ts'

/** A Node.js request as an operation wants it. Headers come from the raw list: `headers` joins or drops repeated ones. */
export function nodeRequest(raw: IncomingMessage, url: string, body: KeptBody): HttpRequest {
  return {
    method: raw.method ?? 'GET',
    url,
    headers: (name) => headerValues(raw.rawHeaders, name),
    body: body.bytes,
    ...(body.isDecoded ? { contentCoding: 'identity' } : {}),
  }
}

/** @param rawHeaders - names and values in turn, as Node.js keeps them */
function headerValues(rawHeaders: readonly string[], name: string): readonly string[] {
  const values: string[] = []
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const given = rawHeaders[at] as string
    if (given.length === name.length && given.toLowerCase() === name) values.push(rawHeaders[at + 1] as string)
  }
  return values
}
