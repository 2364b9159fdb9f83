/** A request as an entry point hands it to an operation: nothing parsed, nothing coerced. */
export interface HttpRequest {
  readonly method: string
  /** Path and query as received, for example `/v1/orders?dry=1`. An origin in front is ignored. */
  readonly url: string
  /** Every value of a header in the order received, so that a header sent twice is seen as such. Names in lower case. */
  readonly headers: (name: string) => readonly string[]
  /** The exact bytes of the body, all of them; empty when there is none. */
  readonly body: Uint8Array
  /** The coding the body is still in. @defaultValue what the header `content-encoding` says; give "identity" when it is decoded already */
  readonly contentCoding?: string
}

/** A response as an operation hands it back: complete, encoded, ready for the socket. */
export interface HttpResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Null: no body. */
  readonly body: Uint8Array | null
}

/**
 * What a handler returns. Nothing reaches the client before the transaction has committed.
 *
 * By status: 2xx and 3xx keep the handler's effects and store the response. 4xx undo the effects and store the response,
 * except 401, 403, 408, 413, 425 and 429, which are not about the request and are stored no more than 5xx: those undo
 * everything, so that a retry runs the handler again.
 */
export interface HandlerResponse {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  /** A string or bytes are sent as they are; null and undefined as no body; anything else as JSON. No streams. */
  readonly body?: unknown
  /** `keep`: commit the handler's effects although the status is 4xx, to record a refusal for example. @defaultValue by status */
  readonly effects?: 'keep' | 'discard'
  /** What the request made, an order id for example: kept after the body has expired. */
  readonly resourceRef?: string
}

/** A request turned into the response it deserves. Entry points adapt frameworks to this. */
export interface IdempotentOperation<Context> {
  (request: HttpRequest, context: Context): Promise<HttpResponse>
  /** The option of this name: an entry point need not read more of a body. Whatever is longer is answered with 413. */
  readonly maxRequestBytes?: number
}

/** Tells entry points how much of a body they need to read. */
export function withLimit<Context>(
  { maxRequestBytes }: { readonly maxRequestBytes: number },
  operation: (request: HttpRequest, context: Context) => Promise<HttpResponse>,
): IdempotentOperation<Context> {
  return Object.assign(operation, { maxRequestBytes })
}
