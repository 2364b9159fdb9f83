/**
 * For callers of idempotent operations, in Node.js and browsers: makes the key, and retries what is safe to retry.
 *
 * @packageDocumentation
 */

/** How often and with which pauses `createIdempotentClient` sends a request again, and in which header the key goes. */
export interface IdempotentClientOptions {
  /** @defaultValue the global `fetch` */
  readonly fetch?: (url: string | URL, init: RequestInit) => Promise<Response>
  /** Header that carries the key. @defaultValue "Idempotency-Key" */
  readonly keyHeader?: string
  /** Requests sent at the most, the first included. @defaultValue 5 */
  readonly maxAttempts?: number
  /** Longest pause between two attempts, in milliseconds; a longer `Retry-After` ends the retries. @defaultValue 30_000 */
  readonly maxPauseMs?: number
  /** Told of every pause before another attempt. */
  readonly onRetry?: (retry: { readonly attempt: number; readonly pauseMs: number; readonly reason: unknown }) => void
}

/** `fetch` with a key that stays the same over all attempts. */
export type IdempotentRequest = (
  url: string | URL,
  init: RequestInit & {
    /** @defaultValue a new UUIDv7. Keep it yourself to go on after a crash of the caller. */
    readonly idempotencyKey?: string
  },
) => Promise<Response>

const retriedStatuses: ReadonlySet<number> = new Set([502, 503, 504])

/**
 * Creates a `fetch` that sends an `Idempotency-Key` and repeats the same request, byte for byte, after a network error,
 * 502, 503, 504, and a 409 or 429 that names a time to retry after. Everything else is the caller's to judge: a 422 says the
 * key was used for another request, and a retry cannot change that.
 *
 * Resolves with the last response when the attempts are used up; rejects with the last network error. An aborted `signal`
 * ends it at once. A body that can be read only once (a stream) is refused with a TypeError.
 */
export function createIdempotentClient(options: IdempotentClientOptions = {}): IdempotentRequest {
  const { keyHeader = 'Idempotency-Key', maxAttempts = 5, maxPauseMs = 30_000, onRetry } = options
  const send = options.fetch ?? ((url, init) => fetch(url, init))

  return async (url, { idempotencyKey = uuidv7(), ...init }) => {
    if (init.body instanceof ReadableStream)
      throw new TypeError('a stream cannot be sent again: pass text, bytes or a form')
    const headers = new Headers(init.headers)
    headers.set(keyHeader, `"${idempotencyKey}"`)
    for (let attempt = 1; ; attempt++) {
      const result = await send(url, { ...init, headers }).catch((error: unknown) => new NetworkFailure(error))
      const failed = result instanceof NetworkFailure
      const pauseMs = failed ? jitter(attempt) : pauseAfter(result, attempt)
      if (init.signal?.aborted === true || attempt >= maxAttempts || pauseMs === undefined || pauseMs > maxPauseMs) {
        if (failed) throw result.cause
        return result
      }
      onRetry?.({ attempt, pauseMs, reason: failed ? result.cause : result.status })
      if (!failed) await result.body?.cancel()
      await pause(pauseMs, init.signal ?? undefined)
    }
  }
}

/** Tells a rejected `fetch` from whatever it resolved with. */
class NetworkFailure {
  readonly cause: unknown
  constructor(cause: unknown) {
    this.cause = cause
  }
}

/** Undefined: not to be retried. */
function pauseAfter(response: Response, attempt: number): number | undefined {
  const retryAfter = response.headers.get('retry-after')
  const named = retryAfter === null ? undefined : retryAfterMs(retryAfter)
  if (response.status === 409 || response.status === 429) return named
  if (!retriedStatuses.has(response.status)) return undefined
  return named ?? jitter(attempt)
}

/** Seconds or an HTTP date, with up to a tenth added so that a crowd does not come back at once. */
function retryAfterMs(value: string): number | undefined {
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.max(0, ms) * (1 + Math.random() / 10)
}

function jitter(attempt: number): number {
  return Math.random() * Math.min(10_000, 200 * 2 ** attempt)
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason as Error)
    const abort = (): void => {
      clearTimeout(timer)
      reject(signal?.reason as Error)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', abort, { once: true })
  })
}

/** A UUIDv7 (RFC 9562) from the web's own randomness: this file must run in browsers. */
export function uuidv7(nowMs: number = Date.now()): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  const view = new DataView(bytes.buffer)
  view.setUint16(0, Math.floor(nowMs / 2 ** 32))
  view.setUint32(2, nowMs % 2 ** 32)
  view.setUint8(6, 0x70 | (view.getUint8(6) & 0x0f))
  view.setUint8(8, 0x80 | (view.getUint8(8) & 0x3f))
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
