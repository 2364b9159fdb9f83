import { createHash, timingSafeEqual } from 'node:crypto'
import { AmbiguousJson, canonicalJson } from './canonical-json.ts'
import type { HttpRequest } from './http.ts'

/** One way to digest a request. Never edited once released: stored rows carry its number and are compared by it. */
export type FingerprintRule = (request: HttpRequest, options: FingerprintOptions) => Buffer

/** The ways there are, by number, and the one that new rows are made with. */
export interface FingerprintRules {
  readonly current: number
  readonly byVersion: ReadonlyMap<number, FingerprintRule>
}

/**
 * Before a new version becomes current, a release that only knows it has to be everywhere: a process that does not know
 * a row's version cannot say whether the request is the same, and answers that it is in progress.
 */
export const releasedFingerprints: FingerprintRules = { current: 1, byVersion: new Map([[1, fingerprintVersion1]]) }

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
function fingerprintVersion1(request: HttpRequest, options: FingerprintOptions): Buffer {
  const { pathname, searchParams } = new URL(request.url, 'http://host')
  searchParams.sort()
  const contentType = request.headers('content-type')[0] ?? ''
  const mediaType = (contentType.split(';')[0] as string).trim().toLowerCase()
  const envelope = JSON.stringify({
    v: 1,
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

/** A request under the rules: digested under the current version at once, under an earlier one when a stored row asks. */
export interface Fingerprint {
  readonly version: number
  /** 32 bytes. */
  readonly digest: Buffer
  /** The same request under another version; undefined when the version is not known, or refuses the request. */
  under(version: number): Fingerprint | undefined
  /** Whether a stored digest is this request's. `unknown`: made by a version that is not known here. */
  compare(stored: { readonly fingerprintVersion: number; readonly fingerprint: Buffer }): 'same' | 'other' | 'unknown'
}

/** @throws AmbiguousJson when the current version refuses the request */
export function fingerprintOf(
  request: HttpRequest,
  options: FingerprintOptions,
  rules: FingerprintRules,
  version: number = rules.current,
): Fingerprint {
  const rule = rules.byVersion.get(version) as FingerprintRule
  const fingerprint: Fingerprint = {
    version,
    digest: rule(request, options),
    under: (wanted) => (wanted === version ? fingerprint : ifAccepted(request, options, rules, wanted)),
    compare: (stored) => {
      if (!rules.byVersion.has(stored.fingerprintVersion)) return 'unknown'
      const digest = fingerprint.under(stored.fingerprintVersion)?.digest
      return digest !== undefined && sameFingerprint(digest, stored.fingerprint) ? 'same' : 'other'
    },
  }
  return fingerprint
}

/** A version that refuses a request has never stored it. */
function ifAccepted(
  request: HttpRequest,
  options: FingerprintOptions,
  rules: FingerprintRules,
  version: number,
): Fingerprint | undefined {
  if (!rules.byVersion.has(version)) return undefined
  try {
    return fingerprintOf(request, options, rules, version)
  } catch (error) {
    if (error instanceof AmbiguousJson) return undefined
    throw error
  }
}

/** Compares two digests in a time that does not depend on where they differ. */
function sameFingerprint(a: Uint8Array, b: Uint8Array): boolean {
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
