/**
 * Mounts idempotent operations on Fastify routes.
 *
 * @packageDocumentation
 */
import { Transform } from 'node:stream'
import type { FastifyReply, FastifyRequest, preParsingHookHandler } from 'fastify'
import type { IdempotentOperation } from '../http/http.ts'
import { keptBody, nodeRequest } from './node-request.ts'

/** Route options for `app.post(path, …)`. Spread them to add `schema` or hooks: `{ schema, ...idempotentRoute(operation) }`. */
export interface IdempotentRoute {
  readonly preParsing: preParsingHookHandler
  readonly handler: (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>
}

const rawBodies = new WeakMap<FastifyRequest, Buffer[]>()

/**
 * Turns an operation into a Fastify route. Hooks run as usual: authenticate in `onRequest` or `preHandler`; a request that
 * fails there or in schema validation never reaches the store. The body is digested as received, before Fastify coerces
 * it. The reply is sent after COMMIT; response schemas are not applied to it, for the stored bytes are what is sent.
 *
 * A request whose body arrived without `preParsing` fails with `INVALID_OPTION`: two requests could not be told apart.
 */
export function idempotentRoute(operation: IdempotentOperation<FastifyRequest>): IdempotentRoute {
  return {
    preParsing: keepRawBody,
    handler: async (request, reply) => {
      const chunks = rawBodies.get(request)
      const kept = chunks === undefined ? undefined : Buffer.concat(chunks)
      const bytes = keptBody(request.raw, kept, 'this route needs the preParsing hook that idempotentRoute() gives it')
      const response = await operation(nodeRequest(request.raw, request.originalUrl, bytes), request)
      reply.code(response.status).headers(response.headers)
      return reply.send(response.body ?? undefined)
    },
  }
}

const keepRawBody: preParsingHookHandler = (request, _reply, payload, done) => {
  const chunks: Buffer[] = []
  rawBodies.set(request, chunks)
  const copy = new Transform({
    transform: (chunk: Buffer, _encoding, next) => {
      chunks.push(chunk)
      next(null, chunk)
    },
  })
  // Fastify compares what was read with Content-Length, and limits the body, through this property.
  Object.defineProperty(copy, 'receivedEncodedLength', {
    get: () => chunks.reduce((sum, chunk) => sum + chunk.length, 0),
  })
  payload.once('error', (error) => copy.destroy(error))
  done(null, payload.pipe(copy))
}
