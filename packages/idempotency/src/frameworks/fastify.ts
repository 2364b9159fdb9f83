/**
 * Mounts idempotent operations on Fastify routes.
 *
 * @packageDocumentation
 */
import { IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest, preHandlerHookHandler, preParsingAsyncHookHandler } from 'fastify'
import { type AroundOptions, createAround } from './around.ts'
import { captureResponse } from './captured-response.ts'
import { nodeRequest } from './node-request.ts'
import { keepBody, peekBody, wholeBody } from './peek-body.ts'
import type { HttpRequest, IdempotentOperation } from '../http/http.ts'
import type { Idempotency } from '../http/idempotency.ts'
import type { Database } from '../database/transaction.ts'

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
      const { status, headers, body } = await operation(await httpRequest(request, 'idempotentRoute()'), request)
      return reply
        .code(status)
        .headers(headers)
        .send(body ?? undefined)
    },
  }
}

/** Hooks for the options of a route, beside its own: `{ ...idempotentHooks(idempotency, { operation }), handler }`. */
export interface IdempotentHooks {
  readonly preParsing: preParsingAsyncHookHandler
  readonly preHandler: preHandlerHookHandler
}

/**
 * Hooks that make a route's handler idempotent, as it is. It replies as it always did, and reaches the transaction by
 * `idempotency.transaction()`. Nothing of the reply leaves before COMMIT; it is kept in memory until then, whole.
 *
 * What counts is what was sent, by an error handler too: 2xx and 3xx commit, 4xx undo the effects and are stored, 5xx undo
 * everything. Authenticate in `onRequest`, or in a `preHandler` before this one. Fastify calls a handler once: a conflict of
 * transactions is answered with 503 `no-effect`.
 *
 * @throws IdempotencyError `INVALID_OPTION`
 */
export function idempotentHooks<Db extends Database>(
  idempotency: Idempotency<Db, FastifyRequest>,
  options: AroundOptions<FastifyRequest>,
): IdempotentHooks {
  const around = createAround(idempotency, options)

  async function run(request: FastifyRequest, reply: FastifyReply, goOn: () => void): Promise<void> {
    const captured = captureResponse(reply.raw, reply.getHeaders() as OutgoingHttpHeaders)
    let isHandled = false
    try {
      const answer = await around(await httpRequest(request, 'idempotentHooks()'), request, () => {
        isHandled = true
        goOn()
        return captured.written
      })
      if (isHandled) return await captured.send(answer)
      captured.restore()
      void reply
        .code(answer.status)
        .headers(answer.headers)
        .send(answer.body ?? undefined)
    } catch (error) {
      captured.restore()
      void reply.send(error)
    }
  }

  return {
    preParsing: (request, reply, payload) => readAhead(request, reply, payload),
    preHandler: (request, reply, done) => void run(request, reply, done),
  }
}

async function httpRequest(request: FastifyRequest, who: string): Promise<HttpRequest> {
  const advice = `this route needs the preParsing hook that ${who} gives it`
  const body = await wholeBody(request.raw, limitOf(request), advice)
  return nodeRequest(request.raw, request.originalUrl, body)
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
