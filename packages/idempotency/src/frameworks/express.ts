/**
 * Mounts idempotent operations on Express routes.
 *
 * @packageDocumentation
 */
import type { IncomingMessage } from 'node:http'
import type { Request, RequestHandler } from 'express'
import { nodeRequest } from './node-request.ts'
import { keepBody, peekBody, wholeBody } from './peek-body.ts'
import type { IdempotentOperation } from '../http/http.ts'

const defaultLimit = 1_048_576

/**
 * For the `verify` option of every body parser before an idempotent route: `express.json({ verify: keepRawBody })`.
 * Remembers the bytes as received, which a parsed body no longer tells.
 */
export function keepRawBody(request: IncomingMessage, _response: unknown, body: Buffer): void {
  // A body parser inflates first.
  keepBody(request, { bytes: body, isDecoded: true })
}

/**
 * A middleware before parsers that have no `verify`, multipart ones for example: `app.post(path, readBodyAhead(), upload, …)`.
 * Waits for the whole body, remembers it, and leaves it to be read.
 *
 * @param options - `limit`: a longer body is answered with 413 by Express's error handlers. In bytes. Default: 1 MiB
 */
export function readBodyAhead(options: { readonly limit?: number } = {}): RequestHandler {
  const { limit = defaultLimit } = options
  return async (request, response, next) => {
    try {
      const bytes = await peekBody(request, limit)
      if (bytes.length <= limit) return next()
      response.set('connection', 'close')
      next(Object.assign(new RangeError('request entity too large'), { status: 413, type: 'entity.too.large' }))
    } catch (error) {
      next(error)
    }
  }
}

/**
 * Turns an operation into an Express handler. Authenticate in a middleware before it. The response is sent after COMMIT;
 * errors of the handler go to Express's error handlers. A body that nobody has read yet is waited for and left to the
 * handler to read.
 *
 * A request whose body was parsed without `keepRawBody` or `readBodyAhead` fails with `INVALID_OPTION`: two requests could
 * not be told apart.
 */
export function idempotentHandler(operation: IdempotentOperation<Request>): RequestHandler {
  return async (request, response, next) => {
    try {
      const advice =
        'give the body parser of this route { verify: keepRawBody }, or put readBodyAhead() before one that has no "verify"'
      const limit = operation.maxRequestBytes ?? defaultLimit
      const kept = await wholeBody(request, limit, advice)
      if (kept.bytes.length > limit) response.set('connection', 'close')
      const { status, headers, body } = await operation(nodeRequest(request, request.originalUrl, kept), request)
      response.status(status).set(headers)
      if (body === null) response.end()
      else response.send(Buffer.from(body))
    } catch (error) {
      next(error)
    }
  }
}
