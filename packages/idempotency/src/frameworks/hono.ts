/**
 * Mounts idempotent operations on Hono routes.
 *
 * @packageDocumentation
 */
import type { Context, Env } from 'hono'
import { fromFetchRequest, toFetchResponse } from './fetch.ts'
import type { IdempotentOperation } from '../http/http.ts'

/**
 * Turns an operation into a Hono handler. Authenticate in a middleware before it; compress in one around it. The response
 * is built after COMMIT. The handler may read the body as usual (`context.req.json()`): Hono keeps it.
 */
export function idempotentHandler<E extends Env>(
  operation: IdempotentOperation<Context<E>>,
): (context: Context<E>) => Promise<Response> {
  return async (context) => {
    const request = await fromFetchRequest({
      method: context.req.method,
      url: context.req.url,
      headers: context.req.raw.headers,
      arrayBuffer: () => context.req.arrayBuffer(),
    })
    const response = toFetchResponse(await operation(request, context))
    return context.newResponse(response.body, response)
  }
}
