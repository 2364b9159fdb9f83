/**
 * Mounts idempotent operations on Hono routes.
 *
 * @packageDocumentation
 */
import type { Context, Env, MiddlewareHandler } from 'hono'
import { IdempotencyError } from '../errors.ts'
import { type AroundOptions, createAround } from './around.ts'
import { fromFetchRequest, readBody, toFetchResponse } from './fetch.ts'
import { isAsWritten, toHandlerResponse } from './written-response.ts'
import type { HandlerResponse, HttpRequest, IdempotentOperation } from '../http/http.ts'
import type { Idempotency } from '../http/idempotency.ts'
import type { Database } from '../database/transaction.ts'

const kept = new WeakMap<object, Uint8Array>()

/**
 * Turns an operation into a Hono handler. Authenticate in a middleware before it; compress in one around it. The response
 * is built after COMMIT. The handler may read the body as usual (`context.req.json()`).
 *
 * A request whose body a middleware has parsed in a way that does not keep its bytes (`formData`, `parseBody`) fails with
 * `INVALID_OPTION`: two requests could not be told apart. Put `readBodyAhead()` before that middleware.
 */
export function idempotentHandler<E extends Env>(
  operation: IdempotentOperation<Context<E>>,
): (context: Context<E>) => Promise<Response> {
  return async (context) => {
    const request = await httpRequest(context, operation.maxRequestBytes)
    const response = toFetchResponse(await operation(request, context))
    return context.newResponse(response.body, response)
  }
}

/**
 * A middleware that makes the handlers after it idempotent, as they are: `app.post(path, idempotentMiddleware(idempotency,
 * { operation }), handler)`. They answer as they always did, and reach the transaction by `idempotency.transaction()`.
 * Nothing of the response leaves before COMMIT; it is kept in memory until then, whole.
 *
 * What counts is what was answered, by `app.onError` too: 2xx and 3xx commit, 4xx undo the effects and are stored, 5xx undo
 * everything. Authenticate in a middleware before it; compress in one around it. Hono calls a handler once: a conflict of
 * transactions is answered with 503 `no-effect`.
 *
 * @throws IdempotencyError `INVALID_OPTION`
 */
export function idempotentMiddleware<Db extends Database, E extends Env>(
  idempotency: Idempotency<Db, Context<E>>,
  options: AroundOptions<Context<E>>,
): MiddlewareHandler<E> {
  const around = createAround(idempotency, options)
  return async (context, next) => {
    const found = new Headers(context.res.headers)
    let isAnswered = false
    let written: HandlerResponse | undefined
    const answer = await around(await httpRequest(context, around.maxRequestBytes), context, async () => {
      await next()
      // One that is late finds the answer that was sent in its place.
      if (isAnswered) throw new IdempotencyError('TIMED_OUT', 'the handler answered after its request was over')
      written = await keepResponse(context)
      return written
    })
    isAnswered = true
    if (written !== undefined && isAsWritten(answer, written)) return
    const { status, headers, body } = toFetchResponse(answer)
    for (const [name, value] of headers) found.set(name, value)
    // Otherwise Hono adds the headers of the response that is there.
    context.res = undefined
    context.res = new Response(body, { status, headers: found })
  }
}

/** Reads the response to its end and puts it back. */
async function keepResponse(context: Context): Promise<HandlerResponse> {
  const { status, headers, body } = context.res
  const bytes = body === null ? null : Buffer.from(await context.res.arrayBuffer())
  context.res = new Response(bytes, context.res)
  return toHandlerResponse({ status, headers: Object.fromEntries(headers), body: bytes })
}

async function httpRequest<E extends Env>(context: Context<E>, limit: number | undefined): Promise<HttpRequest> {
  const body = await wholeBody(context as Context, limit)
  const { method, url, raw } = context.req
  return fromFetchRequest({ method, url, headers: raw.headers }, body)
}

/**
 * A middleware before those that parse bodies. Waits for the whole body, remembers it, and leaves it to be read.
 *
 * @param options - `limit`: no more than that is read, and the operation answers 413. In bytes. Default: 1 MiB
 */
export function readBodyAhead(options: { readonly limit?: number } = {}): MiddlewareHandler {
  const { limit = 1_048_576 } = options
  return async (context, next) => {
    await wholeBody(context as Context, limit)
    await next()
  }
}

async function wholeBody(context: Context, limit: number | undefined): Promise<Uint8Array> {
  const known = kept.get(context.req) ?? (await rememberedByHono(context))
  if (known !== undefined) return known
  const { bytes, unread } = await readBody(context.req.raw, limit)
  context.req.raw = unread
  kept.set(context.req, bytes)
  return bytes
}

/** What Hono remembers of a body that a middleware has read. A text counts only if it tells every byte. */
async function rememberedByHono({ req }: Context): Promise<Uint8Array | undefined> {
  // Hono types them as what they resolve to.
  const read = req.bodyCache as unknown as { readonly [Kind in 'arrayBuffer' | 'blob' | 'text']?: PromiseLike<never> }
  if (read.arrayBuffer !== undefined) return new Uint8Array(await read.arrayBuffer)
  if (read.blob !== undefined) return new Uint8Array(await ((await read.blob) as Blob).arrayBuffer())
  const text = (await read.text) as string | undefined
  if (text !== undefined && !text.includes('\ufffd')) return Buffer.from(text)
  if (Object.keys(read).length === 0 && !req.raw.bodyUsed) return undefined
  throw new IdempotencyError(
    'INVALID_OPTION',
    'the bytes of the body were not kept: put readBodyAhead() before the middleware that parses it',
  )
}
