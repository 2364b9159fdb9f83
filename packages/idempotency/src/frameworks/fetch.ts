import type { HttpRequest, HttpResponse, IdempotentOperation } from '../http/http.ts'

/** Turns an operation into a handler of web-standard servers: Deno, Bun, workers, Next.js route handlers. */
export function idempotentFetch(operation: IdempotentOperation<Request>): (request: Request) => Promise<Response> {
  // A copy is read, so that the handler can still parse the body of the request it is given.
  return async (request) => toFetchResponse(await operation(await fromFetchRequest(request.clone()), request))
}

/** Reads a web-standard request. A header sent twice arrives joined by a comma, which no key contains. */
export async function fromFetchRequest(
  request: Pick<Request, 'method' | 'url' | 'headers' | 'arrayBuffer'>,
): Promise<HttpRequest> {
  return {
    method: request.method,
    url: request.url,
    headers: (name) => {
      const value = request.headers.get(name)
      return value === null ? [] : [value]
    },
    body: new Uint8Array(await request.arrayBuffer()),
  }
}

/** Builds a web-standard response from an operation's. */
export function toFetchResponse(response: HttpResponse): Response {
  const body = response.body === null ? null : new Uint8Array(response.body)
  return new Response(body, { status: response.status, headers: response.headers })
}
