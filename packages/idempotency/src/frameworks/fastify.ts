/**
 * Mounts idempotent operations on Fastify routes.
 *
 * @packageDocumentation
 */
import { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest, preParsingAsyncHookHandler } from 'fastify'
import { nodeRequest } from './node-request.ts'
import { keepBody, peekBody, wholeBody } from './peek-body.ts'
import type { IdempotentOperation } from '../http/http.ts'

/** Route options for `app.post(path, …)`. Spread them to add `schema` or hooks: `{ schema, ...idempotentRoute(operation) }`. */
export interface IdempotentRoute {
  readonly preParsing: preParsingAsyncHookHandler
  readonly handler: (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>
}

/**
 * Turns an operation into a Fastify route. Hooks run as usual: authenticate in `onRequest` or `preHandler`; a request that
 * fails there or in schema validation never reaches the store. The body is digested as received, before Fastify coerces
 * it, and always whole: a content type parser that hands the stream on gets a stream of which everything has arrived. The
 * reply is sent after COMMIT; response schemas are not applied to it, for the stored bytes are what is sent.
 *
 * A request whose body was read without `preParsing` fails with `INVALID_OPTION`: two requests could not be told apart.
 */
export function idempotentRoute(operation: IdempotentOperation<FastifyRequest>): IdempotentRoute {
  return {
    preParsing: (request, reply, payload) => readAhead(request, reply, payload),
    handler: async (request, reply) => {
      const advice = 'this route needs the preParsing hook that idempotentRoute() gives it'
      const body = await wholeBody(request.raw, limitOf(request), advice)
      const response = await operation(nodeRequest(request.raw, request.originalUrl, body), request)
      reply.code(response.status).headers(response.headers)
      return reply.send(response.body ?? undefined)
    },
  }
}

function limitOf(request: FastifyRequest): number {
  return request.routeOptions.bodyLimit ?? 1_048_576
}

/** Waits for the whole body. @returns a stream that has all of it: the request itself, unless a hook before put another in its place */
async function readAhead(request: FastifyRequest, reply: FastifyReply, payload: Readable): Promise<Readable> {
  const limit = limitOf(request)
  if (payload === request.raw && payload instanceof IncomingMessage) {
    if ((await peekBody(payload, limit)).length > limit) throw tooLarge(reply)
    return payload
  }
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of payload as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    size += chunk.length
    if (size > limit) throw tooLarge(reply)
  }
  const bytes = Buffer.concat(chunks)
  keepBody(request.raw, { bytes, isDecoded: payload !== request.raw })
  const { receivedEncodedLength = size } = payload as { readonly receivedEncodedLength?: number }
  // Fastify compares it with Content-Length.
  return Object.assign(Readable.from(size > 0 ? [bytes] : [], { objectMode: false }), { receivedEncodedLength })
}

/** As Fastify words it. The rest of the body is not waited for. */
function tooLarge(reply: FastifyReply): Error {
  void reply.header('connection', 'close')
  return Object.assign(new RangeError('Request body is too large'), {
    statusCode: 413,
    code: 'FST_ERR_CTP_BODY_TOO_LARGE',
  })
}
