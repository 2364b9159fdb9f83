import type { AtomicOptions } from '../http/atomic/atomic.ts'
import type { HandlerResponse, HttpRequest, HttpResponse } from '../http/http.ts'
import type { Idempotency } from '../http/idempotency.ts'
import type { Database } from '../database/transaction.ts'

/** Options of an operation around handlers that are there already. A framework calls them once: conflicts are not retried. */
export type AroundOptions<Context> = Omit<AtomicOptions<Context>, 'retryConflicts'>

/** Runs what comes after a middleware as the handler of an operation. */
export interface Around<Context> {
  /**
   * @param proceed - lets the framework go on, at most once and not at all when the answer is known; resolves with what
   *   was answered
   */
  (request: HttpRequest, context: Context, proceed: () => Promise<HandlerResponse>): Promise<HttpResponse>
  readonly maxRequestBytes: number
}

export function createAround<Db extends Database, Context extends object>(
  idempotency: Idempotency<Db, Context>,
  options: AroundOptions<Context>,
): Around<Context> {
  const waiting = new WeakMap<Context, () => Promise<HandlerResponse>>()
  const operation = idempotency.atomic({ ...options, retryConflicts: false }, ({ request }) =>
    (waiting.get(request) as () => Promise<HandlerResponse>)(),
  )
  return Object.assign(
    (request: HttpRequest, context: Context, proceed: () => Promise<HandlerResponse>) => {
      waiting.set(context, proceed)
      return operation(request, context)
    },
    { maxRequestBytes: operation.maxRequestBytes ?? 1_048_576 },
  )
}
