import { createHash, timingSafeEqual } from 'node:crypto'
import { AmbiguousJson, canonicalJson } from './canonical-json.ts'
import type { HttpRequest } from './http.ts'

/** The rules below. A stored row carries the version it was made with, and is compared by those rules. */
export const fingerprintVersion = 1

export interface FingerprintOptions {
  /** Requests of different API versions differ. */
  readonly apiVersion?: string
  /** `jcs`: JSON bodies by meaning (member order, whitespace and escapes do not matter). `raw`: every body by its bytes. */
  readonly body: 'jcs' | 'raw'
}

/**
 * Digests what makes two requests the same: method, path, query, media type, API version and body, all as received, before
 * any framework has coerced a parameter or filled in a default. Parameters of the query are compared without regard to
 * their order, except among those of one name.
 *
 * @throws AmbiguousJson when the body claims to be JSON and cannot be compared by meaning
 */
export function fingerprintOf(request: HttpRequest, options: FingerprintOptions): Buffer {
  const { pathname, searchParams } = new URL(request.url, 'http://host')
  searchParams.sort()
  const contentType = request.headers('content-type')[0] ?? ''
  const mediaType = (contentType.split(';')[0] as string).trim().toLowerCase()
  const envelope = JSON.stringify({
    v: fingerprintVersion,
    m: request.method.toUpperCase(),
    p: pathname,
    q: [...searchParams],
    ct: mediaType,
    av: options.apiVersion ?? null,
  })
  return createHash('sha256')
    .update(envelope)
    .update('\n')
    .update(bodyOf(request.body, mediaType, contentType, options))
    .digest()
}

/** Compares two digests in a time that does not depend on where they differ. */
export function sameFingerprint(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

function bodyOf(
  body: Uint8Array,
  mediaType: string,
  contentType: string,
  options: FingerprintOptions,
): Uint8Array | string {
  if (body.length === 0 || options.body === 'raw') return body
  if (mediaType === 'application/json' || mediaType.endsWith('+json')) return canonicalJson(utf8(body))
  return mediaType.startsWith('multipart/') ? withoutBoundary(body, contentType) : body
}

function utf8(body: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)
  } catch (error) {
    throw new AmbiguousJson('the body is no UTF-8 text', { cause: error })
  }
}

/** A client draws a new boundary for each attempt: what counts are the parts between. */
function withoutBoundary(body: Uint8Array, contentType: string): string {
  const boundary = /;\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(contentType)
  if (boundary === null) return Buffer.from(body).toString('latin1')
  const parts = Buffer.from(body)
    .toString('latin1')
    .split(`--${(boundary[1] ?? boundary[2]) as string}`)
  return JSON.stringify(parts)
}
