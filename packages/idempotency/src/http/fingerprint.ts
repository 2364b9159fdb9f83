import { createHash, createHmac, type KeyObject, timingSafeEqual } from 'node:crypto'
import { AmbiguousJson, canonicalJson } from './canonical-json.ts'
import type { HttpRequest } from './http.ts'

/** One way to digest a request. Never edited once released: stored rows carry its number and are compared by it. */
export type FingerprintRule = (request: HttpRequest, options: FingerprintOptions, secret: KeyObject) => Buffer

/** The ways there are, by number, and the one that new rows are made with. */
export interface FingerprintRules {
  readonly current: number
  readonly byVersion: ReadonlyMap<number, FingerprintRule>
}

/**
 * Before a new version becomes current, a release that only knows it has to be everywhere: a process that does not know
 * a row's version cannot say whether the request is the same, and answers that it is in progress.
 */
export const releasedFingerprints: FingerprintRules = {
  current: 2,
  byVersion: new Map<number, FingerprintRule>([
    [1, fingerprintVersion1],
    [2, fingerprintVersion2],
  ]),
}

export interface FingerprintOptions {
  /** Requests of different API versions differ. */
  readonly apiVersion?: string
  /** `jcs`: JSON bodies by meaning (member order, whitespace and escapes do not matter). `raw`: every body by its bytes. */
  readonly body: 'jcs' | 'raw'
  /** Members of JSON bodies that do not count, as paths of names: `sentAt`, `device.battery`. Those of arrays count for every item. */
  readonly ignoredFields?: ReadonlySet<string>
}

/**
 * Digests what makes two requests the same: method, path, query, media type, API version and body, all as received, before
 * any framework has coerced a parameter or filled in a default. Parameters of the query are compared without regard to
 * their order, except among those of one name.
 *
 * Keyed with a secret that is not in the database: a body of few possible values, a PIN for example, cannot be found out
 * from a row by trying them all.
 *
 * @throws AmbiguousJson when the body claims to be JSON and cannot be compared by meaning
 */
function fingerprintVersion2(request: HttpRequest, options: FingerprintOptions, secret: KeyObject): Buffer {
  const coding = request.contentCoding ?? 'identity'
  return createHmac('sha256', secret)
    .update(envelopeOf(2, request, options, { ce: coding }))
    .update('\n')
    .update(bodyOf(request, coding === 'identity' ? options : { ...options, body: 'raw' }))
    .digest()
}

/** As version 2, with a digest that anybody can compute: rows of releases before. @throws AmbiguousJson as version 2 */
function fingerprintVersion1(request: HttpRequest, options: FingerprintOptions): Buffer {
  return createHash('sha256')
    .update(envelopeOf(1, request, options, {}))
    .update('\n')
    .update(bodyOf(request, options))
    .digest()
}

function envelopeOf(version: number, request: HttpRequest, options: FingerprintOptions, more: object): string {
  const { pathname, searchParams } = new URL(request.url, 'http://host')
  searchParams.sort()
  return JSON.stringify({
    v: version,
    m: request.method.toUpperCase(),
    p: pathname,
    q: [...searchParams],
    ct: mediaTypeOf(request),
    av: options.apiVersion ?? null,
    ...more,
  })
}

function contentTypeOf(request: HttpRequest): string {
  return request.headers('content-type')[0] ?? ''
}

function mediaTypeOf(request: HttpRequest): string {
  return (contentTypeOf(request).split(';', 1)[0] as string).trim().toLowerCase()
}

/** What of a stored row says how its fingerprint was made. */
export interface StoredFingerprint {
  readonly fingerprintVersion: number
  readonly fingerprint: Buffer
  /** The hash the row is stored under: the fingerprint is keyed with the same pepper. */
  readonly keyHash: Buffer
}

/** A request under the rules: digested under the current version at once, as another row was when a stored row asks. */
export interface Fingerprint {
  readonly version: number
  /** 32 bytes. */
  readonly digest: Buffer
  /** The same request as a row was digested; undefined when its version is not known, or refuses the request. */
  like(stored: Omit<StoredFingerprint, 'fingerprint'>): Pick<Fingerprint, 'digest' | 'version'> | undefined
  /** Whether a stored digest is this request's. `unknown`: made by a version that is not known here. */
  compare(stored: StoredFingerprint): 'same' | 'other' | 'unknown'
}

/** Which secret the fingerprint of a row is keyed with. */
export interface FingerprintSecrets {
  readonly current: KeyObject
  of(keyHash: Buffer): KeyObject
}

/** @throws AmbiguousJson when the current version refuses the request */
export function fingerprintOf(
  request: HttpRequest,
  options: FingerprintOptions,
  rules: FingerprintRules,
  secrets: FingerprintSecrets,
): Fingerprint {
  const under = (version: number, secret: KeyObject): Buffer =>
    (rules.byVersion.get(version) as FingerprintRule)(request, options, secret)
  const current = { version: rules.current, digest: under(rules.current, secrets.current) }

  function like({
    fingerprintVersion: version,
    keyHash,
  }: Omit<StoredFingerprint, 'fingerprint'>): ReturnType<Fingerprint['like']> {
    if (!rules.byVersion.has(version)) return undefined
    const secret = secrets.of(keyHash)
    if (version === rules.current && secret === secrets.current) return current
    try {
      return { version, digest: under(version, secret) }
    } catch (error) {
      // A version that refuses a request has never stored it.
      if (error instanceof AmbiguousJson) return undefined
      throw error
    }
  }

  return {
    ...current,
    like,
    compare: (stored) => {
      if (!rules.byVersion.has(stored.fingerprintVersion)) return 'unknown'
      const digest = like(stored)?.digest
      return digest !== undefined && sameFingerprint(digest, stored.fingerprint) ? 'same' : 'other'
    },
  }
}

/** Compares two digests in a time that does not depend on where they differ. */
function sameFingerprint(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

function bodyOf(request: HttpRequest, options: FingerprintOptions): Uint8Array | string {
  const { body } = request
  if (body.length === 0 || options.body === 'raw') return body
  const mediaType = mediaTypeOf(request)
  if (mediaType === 'application/json' || mediaType.endsWith('+json'))
    return canonicalJson(utf8(body), 'exact', options.ignoredFields)
  return mediaType.startsWith('multipart/') ? withoutBoundary(body, contentTypeOf(request)) : body
}

/** Keeps nothing between two bodies. */
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function utf8(body: Uint8Array): string {
  try {
    return decoder.decode(body)
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
