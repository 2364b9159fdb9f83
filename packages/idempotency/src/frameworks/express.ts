/**
 * Mounts idempotent operations on Express routes.
 *
 * @packageDocumentation
 */
import type { IncomingMessage } from 'node:http'
import type { Request, RequestHandler, Response } from 'express'
import { type AroundOptions, createAround } from './around.ts'
import { type CapturedResponse, captureResponse } from './captured-response.ts'
import { nodeRequest } from './node-request.ts'
import { keepBody, type KeptBody, peekBody, wholeBody } from './peek-body.ts'
import type { IdempotentOperation } from '../http/http.ts'
import type { Idempotency } from '../http/idempotency.ts'
import type { Database } from '../database/transaction.ts'

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
      const kept = await bodyOf(request, response, operation.maxRequestBytes ?? defaultLimit)
      const { status, headers, body } = await operation(nodeRequest(request, request.originalUrl, kept), request)
      response.status(status).set(headers)
      if (body === null) response.end()
      else response.send(Buffer.from(body))
    } catch (error) {
      next(error)
    }
  }
}

/**
 * A middleware that makes the handlers after it idempotent, as they are: `app.post(path, idempotentMiddleware(idempotency,
 * { operation }), handler)`. They write the response as they always did, and reach the transaction by
 * `idempotency.transaction()`. Nothing of the response leaves before COMMIT; it is kept in memory until then, whole.
 *
 * What counts is what was written, by an error handler too: 2xx and 3xx commit, 4xx undo the effects and are stored, 5xx undo
 * everything. Authenticate in a middleware before it. Body parsers need `keepRawBody` or `readBodyAhead`, as before
 * `idempotentHandler`. Express calls a handler once: a conflict of transactions is answered with 503 `no-effect`.
 *
 * @throws IdempotencyError `INVALID_OPTION`
 */
export function idempotentMiddleware<Db extends Database>(
  idempotency: Idempotency<Db, Request>,
  options: AroundOptions<Request>,
): RequestHandler {
  const around = createAround(idempotency, options)
  return async (request, response, next) => {
    let captured: CapturedResponse | undefined
    try {
      const kept = await bodyOf(request, response, around.maxRequestBytes)
      const capture = (captured = captureResponse(response))
      const answer = await around(nodeRequest(request, request.originalUrl, kept), request, () => {
        next()
        return capture.written
      })
      await captured.send(answer)
    } catch (error) {
      captured?.restore()
      next(error)
    }
  }
}

async function bodyOf(request: Request, response: Response, limit: number): Promise<KeptBody> {
  const advice =
    'give the body parser of this route { verify: keepRawBody }, or put readBodyAhead() before one that has no "verify"'
  const kept = await wholeBody(request, limit, advice)
  if (kept.bytes.length > limit) response.set('connection', 'close')
  return kept
}
