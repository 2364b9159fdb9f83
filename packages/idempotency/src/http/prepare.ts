import { AmbiguousJson } from './canonical-json.ts'
import { IdempotencyError } from '../errors.ts'
import { type Fingerprint, fingerprintOf, type FingerprintRules, type FingerprintSecrets } from './fingerprint.ts'
import type { HttpRequest, HttpResponse } from './http.ts'
import { decodeBody } from './content-coding.ts'
import type { ApplicationSettings, RetentionOptions, Settings } from './options.ts'
import { checkKey, type ParsedKey, parseKey } from './key.ts'
import type { ProblemFactory } from './problem.ts'
import type { Hashes } from './scope.ts'
import type { Database } from '../database/transaction.ts'

/** Options that atomic and lease operations share. */
export interface OperationOptions<Context> {
  /** A short stable name, `createOrder` for example: for metrics and operators. */
  readonly operation: string
  /** Refuse requests without a key. With `false` they run, unprotected. @defaultValue true */
  readonly required?: boolean
  /** `operation`: the same key on another operation is another key, not a mistake. @defaultValue "subject": reuse is answered 422 */
  readonly scope?: 'subject' | 'operation'
  /**
   * Finds the key of a request elsewhere than in the header: in the event id that a webhook's body carries, for example.
   * Undefined or empty: there is none. What it returns is the key as it is, within the same lengths and characters.
   *
   * @defaultValue the header `keyHeader` of `createIdempotency`
   */
  readonly key?: (context: Context, request: HttpRequest) => string | undefined | Promise<string | undefined>
  /** How long keys and responses of this operation are kept. @defaultValue as `createIdempotency` says */
  readonly retention?: RetentionOptions
  /** Part of the fingerprint. */
  readonly apiVersion?: string
  /**
   * How bodies are compared. `jcs`: JSON by meaning, other types by their bytes. `raw`: every body by its bytes.
   *
   * @defaultValue "jcs": a client may serialise a retry differently
   */
  readonly compareBody?: 'jcs' | 'raw'
  /**
   * Members of JSON bodies that do not make a request another one, as paths of names: `sentAt`, `device.battery`; through
   * arrays too. The stored response is sent again whatever they say, so nothing that matters may be among them.
   *
   * @defaultValue []
   */
  readonly ignoredFields?: readonly string[]
  /** Longest wait for another request with the same key, in milliseconds, before 409. @defaultValue 0: the client waits */
  readonly waitMs?: number
  /** Asked before a stored response is sent again: `false` answers 403. The caller is authenticated already; is it still allowed? */
  readonly authorizeReplay?: (context: Context, record: ReplayedRecord) => boolean | Promise<boolean>
  /**
   * Has the last word on a response that is sent again: may count it, add headers of this moment (a fresh token), or leave something
   * out. What it throws fails this retry and nothing else. Default: the response as it is stored.
   */
  readonly onReplay?: (
    context: Context,
    response: HttpResponse,
    record: ReplayedRecord,
  ) => HttpResponse | Promise<HttpResponse>
  /** Builds the answer to a retry that comes after the body has expired. Default: 410, with the stored Location. */
  readonly rehydrate?: (context: Context, record: ReplayedRecord) => HttpResponse | Promise<HttpResponse>
}

/** A completed request, as hooks see it. */
export interface ReplayedRecord {
  readonly operation: string
  readonly status: number
  readonly resourceRef: string | null
  readonly completedAt: Date
}

/** Whose request it is and what it asks, digested. */
export interface PreparedRequest {
  readonly tenant: string
  /** Under the current pepper. */
  readonly keyHash: Buffer
  /** Under the other peppers it may be known by. */
  readonly otherHashes: readonly Buffer[]
  /** Made when it is asked for: only what writes a row needs it, and a replay writes none. */
  readonly subjectHash: () => Buffer
  readonly fingerprint: Fingerprint
  /** The instant inside a UUIDv7 key, when age is checked. */
  readonly keyTime: Date | null
}

export type Preparation =
  | { readonly kind: 'prepared'; readonly request: PreparedRequest }
  | { readonly kind: 'unprotected' }
  | { readonly kind: 'refused'; readonly response: HttpResponse }

const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/**
 * Validates and digests a request before any work is done for it and before the database is asked anything.
 *
 * @throws IdempotencyError `INVALID_OPTION` when the tenant or subject resolver gives nothing
 */
export async function prepare<Db extends Database, Context>(
  settings: ApplicationSettings<Db, Context>,
  options: OperationOptions<Context>,
  request: HttpRequest,
  context: Context,
): Promise<Preparation> {
  if (safeMethods.has(request.method.toUpperCase())) return { kind: 'unprotected' }
  const parsed = await keyOf(settings, options, request, context)
  if (parsed.kind === 'missing') return missing(settings, options)
  if (parsed.kind === 'malformed')
    return refuse(settings.problem, 'key-malformed', `${settings.keyHeader} is refused: ${parsed.reason}.`)
  const keyTime = settings.keyAge === 'uuidv7' ? timeOfUuidv7(parsed.key) : null
  if (keyTime === undefined)
    return refuse(settings.problem, 'key-malformed', `${settings.keyHeader} must be a UUIDv7 here.`)
  if (request.body.length > settings.maxRequestBytes) {
    return refuse(
      settings.problem,
      'body-too-large',
      `The body has more than ${String(settings.maxRequestBytes)} bytes.`,
    )
  }
  const decoded = await decoding(request, settings.maxRequestBytes)
  if (decoded === 'too-large')
    return refuse(settings.problem, 'body-too-large', 'The body inflates to more than is accepted.')
  if (decoded === 'broken')
    return refuse(settings.problem, 'body-ambiguous', 'The body is not in the coding that Content-Encoding names.')
  let hashes: Hashes | undefined
  const fingerprint = fingerprintOrRule(
    decoded,
    options,
    settings.fingerprints,
    secretsOf(settings, () => hashes),
  )
  if (typeof fingerprint === 'string')
    return refuse(settings.problem, 'body-ambiguous', `The body is refused: ${fingerprint}.`)
  const tenant = identityOf('tenant', await settings.tenant(context))
  const subject = identityOf('subject', await settings.subject(context))
  const scope = { tenant, subject, operation: options.scope === 'operation' ? options.operation : '' }
  hashes = settings.hasher.keyHashes(scope, parsed.key)
  const [keyHash, ...otherHashes] = hashes
  const subjectHash = (): Buffer => settings.hasher.subjectHashes(tenant, subject)[0]
  return { kind: 'prepared', request: { tenant, keyHash, otherHashes, subjectHash, fingerprint, keyTime } }
}

async function keyOf<Context>(
  { keyHeader, keyFormat }: Settings,
  options: OperationOptions<Context>,
  request: HttpRequest,
  context: Context,
): Promise<ParsedKey> {
  if (options.key === undefined) return parseKey(request.headers(keyHeader.toLowerCase()), keyFormat)
  const key: unknown = await options.key(context, request)
  if (key === undefined || key === '') return { kind: 'missing' }
  if (typeof key === 'string') return checkKey(key, keyFormat)
  throw new IdempotencyError(
    'INVALID_OPTION',
    'option "key" gave something that is not a string: return the key, or undefined',
  )
}

function missing<Context>(
  { problem, keyHeader }: Settings,
  { required = true, key }: OperationOptions<Context>,
): Preparation {
  if (!required) return { kind: 'unprotected' }
  const detail =
    key === undefined
      ? `Send an ${keyHeader} header with a new random value, a UUID for example, and the same value when you retry.`
      : 'The request does not carry what this operation takes for its key.'
  return refuse(problem, 'key-missing', detail)
}

function refuse(problem: ProblemFactory, code: Parameters<ProblemFactory>[0], detail: string): Preparation {
  return { kind: 'refused', response: problem(code, { detail }) }
}

/** The request without its content coding, as far as it is one that is known. */
async function decoding(request: HttpRequest, limit: number): Promise<HttpRequest | 'too-large' | 'broken'> {
  const coding = request.contentCoding ?? request.headers('content-encoding').join(', ')
  const body = await decodeBody(request.body, coding, limit)
  if (typeof body === 'string') return body
  const isDecoded = body !== request.body || coding === ''
  return { ...request, body, contentCoding: isDecoded ? 'identity' : coding.trim().toLowerCase() }
}

/** A row's fingerprint is keyed with the pepper that its key is hashed with. */
function secretsOf({ hasher }: Settings, hashes: () => Hashes | undefined): FingerprintSecrets {
  const [current] = hasher.fingerprintSecrets
  return {
    current,
    of: (keyHash) => {
      const at = hashes()?.findIndex((hash) => hash.equals(keyHash)) ?? 0
      return hasher.fingerprintSecrets[at] ?? current
    },
  }
}

function fingerprintOrRule<Context>(
  request: HttpRequest,
  options: OperationOptions<Context>,
  rules: FingerprintRules,
  secrets: FingerprintSecrets,
): Fingerprint | string {
  try {
    const { compareBody = 'jcs', apiVersion, ignoredFields = [] } = options
    const what = {
      body: compareBody,
      ignoredFields: new Set(ignoredFields),
      ...(apiVersion === undefined ? {} : { apiVersion }),
    }
    return fingerprintOf(request, what, rules, secrets)
  } catch (error) {
    if (error instanceof AmbiguousJson) return error.message
    throw error
  }
}

/** An empty tenant or subject would put everybody into one scope. */
function identityOf(name: 'tenant' | 'subject', value: unknown): string {
  if (typeof value === 'string' && value !== '') return value
  throw new IdempotencyError(
    'INVALID_OPTION',
    `option "${name}" gave no ${name} for a request: authenticate before, and return a stable id`,
  )
}

/** Undefined when the text is no UUIDv7. */
function timeOfUuidv7(key: string): Date | undefined {
  const hex = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i.exec(key)
  return hex === null ? undefined : new Date(Number.parseInt(`${hex[1] as string}${hex[2] as string}`, 16))
}
