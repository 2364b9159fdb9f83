/**
 * Mounts idempotent operations on Express routes.
 *
 * @packageDocumentation
 */
import type { IncomingMessage } from 'node:http'
import type { Request, RequestHandler } from 'express'
import type { IdempotentOperation } from '../http/http.ts'
import { keptBody, nodeRequest } from './node-request.ts'

const rawBodies = new WeakMap<IncomingMessage, Buffer>()

/**
 * For the `verify` option of every body parser before an idempotent route: `express.json({ verify: keepRawBody })`.
 * Remembers the bytes as received, which a parsed body no longer tells.
 */
export function keepRawBody(request: IncomingMessage, _response: unknown, body: Buffer): void {
  rawBodies.set(request, body)
}

/**
 * Turns an operation into an Express handler. Authenticate in a middleware before it. The response is sent after COMMIT;
 * errors of the handler go to Express's error handlers.
 *
 * A request whose body was parsed without `keepRawBody` fails with `INVALID_OPTION`: two requests could not be told apart.
 */
export function idempotentHandler(operation: IdempotentOperation<Request>): RequestHandler {
  return async (request, response, next) => {
    try {
      const bytes = keptBody(
        request,
        rawBodies.get(request),
        'give the body parser of this route { verify: keepRawBody }',
      )
      const raw = nodeRequest(request, request.originalUrl, bytes)
      const { status, headers, body } = await operation(raw, request)
      response.status(status).set(headers)
      if (body === null) response.end()
      else response.send(Buffer.from(body))
    } catch (error) {
      next(error)
    }
  }
}
