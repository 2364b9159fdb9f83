import type { HttpRequest, HttpResponse, IdempotentOperation } from '../http/http.ts'

/**
 * Turns an operation into a handler of web-standard servers: Deno, Bun, workers, Next.js route handlers. The handler can
 * read the body of the request it is given as if nobody had.
 */
export function idempotentFetch(operation: IdempotentOperation<Request>): (request: Request) => Promise<Response> {
  return async (request) => {
    const { bytes, unread } = await readBody(request, operation.maxRequestBytes)
    return toFetchResponse(await operation(fromFetchRequest(request, bytes), unread))
  }
}

/** A web-standard request as an operation wants it. A header sent twice arrives joined by a comma, which no key contains. */
export function fromFetchRequest(request: Pick<Request, 'method' | 'url' | 'headers'>, body: Uint8Array): HttpRequest {
  return {
    method: request.method,
    url: request.url,
    headers: (name) => {
      const value = request.headers.get(name)
      return value === null ? [] : [value]
    },
    body,
  }
}

/**
 * Reads a body to its end.
 *
 * @param limit - in bytes; of a longer one comes back more than `limit`, but not all
 * @returns the bytes, and the same request with a body that can be read
 * @throws TypeError when it was read before, or ends too soon
 */
export async function readBody(
  request: Request,
  limit: number = Infinity,
): Promise<{ readonly bytes: Uint8Array; readonly unread: Request }> {
  if (request.body === null) return { bytes: new Uint8Array(), unread: request }
  const announced = request.headers.get('content-length')
  if (announced !== null && Number(announced) <= limit)
    return { unread: request.clone(), bytes: new Uint8Array(await request.arrayBuffer()) }
  const chunks: Uint8Array[] = []
  let size = 0
  // Leaving the loop cancels the body: the rest is not waited for.
  for await (const chunk of request.body as unknown as AsyncIterable<Uint8Array>) {
    chunks.push(chunk)
    size += chunk.length
    if (size > limit) break
  }
  const bytes = new Uint8Array(Buffer.concat(chunks))
  return { bytes, unread: new Request(request, { method: request.method, body: bytes }) }
}

/** Builds a web-standard response from an operation's. */
export function toFetchResponse(response: HttpResponse): Response {
  const body = response.body === null ? null : new Uint8Array(response.body)
  return new Response(body, { status: response.status, headers: response.headers })
}
