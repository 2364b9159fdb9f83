/**
 * Mounts idempotent operations on Hono routes.
 *
 * @packageDocumentation
 */
import type { Context, Env, MiddlewareHandler } from 'hono'
import { IdempotencyError } from '../errors.ts'
import { fromFetchRequest, readBody, toFetchResponse } from './fetch.ts'
import type { IdempotentOperation } from '../http/http.ts'

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
    const body = await wholeBody(context, operation.maxRequestBytes)
    const { method, url, raw } = context.req
    const response = toFetchResponse(
      await operation(fromFetchRequest({ method, url, headers: raw.headers }, body), context),
    )
    return context.newResponse(response.body, response)
  }
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
