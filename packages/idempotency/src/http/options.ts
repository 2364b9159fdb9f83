import { reportTo } from '@malote/outbox-core/adapter'
import { quoteIdentifier, schemaOption } from '@malote/outbox-core/postgres'
import { type BodyCipher, createBodyCipher, type EncryptionOptions } from './body-cipher.ts'
import { invalidOption, wholeNumberOption } from '../errors.ts'
import type { IdempotencyEvent } from '../events.ts'
import { type FingerprintRules, releasedFingerprints } from './fingerprint.ts'
import type { KeyFormat } from './key.ts'
import { createProblems, type ProblemFactory } from './problem.ts'
import { createScopeHasher, type ScopeHasher } from './scope.ts'
import { type Database, databaseOption } from '../database/transaction.ts'

/**
 * @typeParam Db - the type of `db`; decides what handlers receive as `tx`
 * @typeParam Context - what the entry point passes along, the framework's request for example
 */
export interface IdempotencyOptions<Db extends Database, Context> {
  /** A `pg` pool or a `Kysely`. Each request in progress holds one connection. */
  readonly db: Db
  /** Whose data it is. Part of the primary key: there is no default, because a shared one leaks responses between customers. */
  readonly tenant: (context: Context) => string | Promise<string>
  /** The stable id of the user or service account, after authentication. Never a token: a refreshed one would change the key. */
  readonly subject: (context: Context) => string | Promise<string>
  /**
   * Secret of at least 16 bytes that keys are hashed with. Keep it out of the database. Replacing it forgets every key, and
   * what was done would be done again: give both the old and the new one while you change it.
   */
  readonly pepper: string | Uint8Array | PepperRotation
  /** How long keys and responses are kept. */
  readonly retention?: RetentionOptions
  /** Schema the tables live in. @defaultValue "malote" */
  readonly schema?: string
  /** Header that carries the key, for example `X-Request-Key`. @defaultValue "Idempotency-Key" */
  readonly keyHeader?: string
  /** `strict` refuses keys that are not quoted as the IETF draft asks. @defaultValue "lenient": most clients send them bare */
  readonly keySyntax?: 'strict' | 'lenient'
  /** Shortest key accepted. @defaultValue 16: shorter ones are counters, not random */
  readonly minKeyLength?: number
  /**
   * `uuidv7`: keys must be UUIDv7, and one older than the key retention gets 412 instead of running the request a second
   * time after its record is gone. @defaultValue "unknown"
   */
  readonly keyAge?: 'unknown' | 'uuidv7'
  /** Header that marks a replayed response. @defaultValue "Idempotency-Replayed" */
  readonly replayHeader?: string
  /** Response headers to store besides content-type, content-language, location, etag and link. @defaultValue [] */
  readonly storedHeaders?: readonly string[]
  /** A larger body is not stored; its replay is answered without it. @defaultValue 262_144 */
  readonly maxStoredBodyBytes?: number
  /** A larger request body is refused with 413 before it is digested. @defaultValue 1_048_576 */
  readonly maxRequestBytes?: number
  /** Encrypts stored bodies. Default: stored as they are. */
  readonly encryption?: EncryptionOptions
  /** Keys a tenant may have at a time; more get 429. @defaultValue no limit */
  readonly maxKeysPerTenant?: number
  /** Page that documents the problem codes; each is a fragment of it. */
  readonly documentationUrl?: string
  /** Told how each request ended. What it throws changes nothing; the first time it is reported on `process.emitWarning`. */
  readonly onEvent?: (event: IdempotencyEvent) => void
}

/**
 * Peppers while one replaces another. Roll out twice: first `{ current: old, accepted: [new] }`, and when no process without
 * it is left `{ current: new, accepted: [old] }`. A process that does not know a pepper runs again what was done under it.
 * Drop the old one when nothing is left of it: `retention.keyMs` after the second roll-out, and no unresolved key is older.
 */
export interface PepperRotation {
  /** New keys are hashed with it. At least 16 bytes. */
  readonly current: string | Uint8Array
  /** Keys hashed with these are recognised, and go on where they are. At least 16 bytes each. */
  readonly accepted: readonly (string | Uint8Array)[]
}

/**
 * How long responses and keys are remembered. The body goes first; until the key goes too, a retry is answered that the response is no longer
 * kept, and nothing runs again.
 */
export interface RetentionOptions {
  /** How long a response's body is kept, in milliseconds. @defaultValue 86_400_000 (24 h): a client's retries end within hours */
  readonly bodyMs?: number
  /** How long a key is remembered, in milliseconds. @defaultValue 604_800_000 (7 d): a queue's redrive comes days later */
  readonly keyMs?: number
}

/** Options checked and with defaults filled in, as most of the package needs them: whatever the application calls its requests. */
export interface Settings {
  readonly db: Database
  readonly quotedSchema: string
  readonly schema: string
  readonly hasher: ScopeHasher
  /** Not an option: a test puts another version in. */
  readonly fingerprints: FingerprintRules
  readonly cipher: BodyCipher
  readonly bodyRetentionMs: number
  readonly keyRetentionMs: number
  readonly keyHeader: string
  readonly keyFormat: KeyFormat
  readonly keyAge: 'unknown' | 'uuidv7'
  readonly replayHeader: string
  readonly moreStoredHeaders: readonly string[]
  readonly maxStoredBodyBytes: number
  readonly maxRequestBytes: number
  readonly maxKeysPerTenant: number | undefined
  readonly problem: ProblemFactory
  readonly report: (event: IdempotencyEvent) => void
}

/** The same beside what the application's types decide: what handlers get as their transaction, and who asks. */
export interface ApplicationSettings<Db extends Database, Context> extends Settings {
  readonly db: Db
  readonly tenant: (context: Context) => string | Promise<string>
  readonly subject: (context: Context) => string | Promise<string>
}

const defaultDocumentation = 'https://github.com/malote/malote/blob/main/docs/idempotency.md'
const dayMs = 86_400_000

/** @throws IdempotencyError `INVALID_OPTION` */
export function resolveOptions<Db extends Database, Context>(
  options: IdempotencyOptions<Db, Context>,
): ApplicationSettings<Db, Context> {
  for (const name of ['tenant', 'subject'] as const)
    if (typeof options[name] !== 'function') throw invalidOption(name, `a function from the request to its ${name}`)
  const whole = (name: string, value: number | undefined, fallback: number, min: number, max: number): number =>
    wholeNumberOption(name, value, fallback, { min, max })
  const keyRetentionMs = keyRetention(options.retention?.keyMs, 7 * dayMs)
  const maxKeys = options.maxKeysPerTenant
  const keyHeader = keyHeaderOption(options.keyHeader)
  const schema = schemaOption(options.schema)
  return {
    db: databaseOption(options.db),
    schema,
    quotedSchema: quoteIdentifier(schema),
    tenant: options.tenant,
    subject: options.subject,
    fingerprints: releasedFingerprints,
    hasher: createScopeHasher(...peppersOption(options.pepper)),
    cipher: createBodyCipher(options.encryption),
    keyRetentionMs,
    bodyRetentionMs: bodyRetention(options.retention?.bodyMs, Math.min(dayMs, keyRetentionMs), keyRetentionMs),
    keyHeader,
    keyFormat: {
      syntax: options.keySyntax ?? 'lenient',
      minLength: whole('minKeyLength', options.minKeyLength, 16, 1, 255),
      maxLength: 255,
    },
    keyAge: options.keyAge ?? 'unknown',
    replayHeader: (options.replayHeader ?? 'Idempotency-Replayed').toLowerCase(),
    moreStoredHeaders: options.storedHeaders ?? [],
    maxStoredBodyBytes: whole('maxStoredBodyBytes', options.maxStoredBodyBytes, 262_144, 0, 16_777_216),
    maxRequestBytes: whole('maxRequestBytes', options.maxRequestBytes, 1_048_576, 0, 104_857_600),
    maxKeysPerTenant: maxKeys === undefined ? undefined : whole('maxKeysPerTenant', maxKeys, 0, 1, 1_000_000),
    problem: createProblems(options.documentationUrl ?? defaultDocumentation, keyHeader),
    report: reportTo(options.onEvent),
  }
}

/** The settings of an operation that keeps its keys longer or shorter than others. @throws IdempotencyError `INVALID_OPTION` */
export function withRetention<Db extends Database, Context>(
  settings: ApplicationSettings<Db, Context>,
  { keyMs, bodyMs }: RetentionOptions = {},
): ApplicationSettings<Db, Context> {
  const keyRetentionMs = keyRetention(keyMs, settings.keyRetentionMs)
  return {
    ...settings,
    keyRetentionMs,
    bodyRetentionMs: bodyRetention(bodyMs, Math.min(settings.bodyRetentionMs, keyRetentionMs), keyRetentionMs),
  }
}

function keyRetention(given: number | undefined, fallback: number): number {
  return wholeNumberOption('retention.keyMs', given, fallback, { min: 1_000, max: 3_650 * dayMs })
}

/** A body is not kept longer than its key. */
function bodyRetention(given: number | undefined, fallback: number, keyRetentionMs: number): number {
  return wholeNumberOption('retention.bodyMs', given, fallback, { min: 1, max: keyRetentionMs })
}

function keyHeaderOption(name = 'Idempotency-Key'): string {
  if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/i.test(name)) throw invalidOption('keyHeader', 'the name of a header')
  return name
}

function peppersOption(pepper: string | Uint8Array | PepperRotation): readonly [Uint8Array, ...Uint8Array[]] {
  if (typeof pepper !== 'object' || pepper === null || pepper instanceof Uint8Array)
    return [pepperBytes('pepper', pepper)]
  const { current, accepted } = pepper
  if (!Array.isArray(accepted)) throw invalidOption('pepper.accepted', 'a list of peppers')
  const others = accepted.map((one, at) => pepperBytes(`pepper.accepted[${String(at)}]`, one as string | Uint8Array))
  const peppers = [pepperBytes('pepper.current', current), ...others] as const
  if (new Set(peppers.map((one) => Buffer.from(one).toString('hex'))).size < peppers.length)
    throw invalidOption('pepper.accepted', 'peppers other than pepper.current, each of them once')
  return peppers
}

function pepperBytes(name: string, pepper: string | Uint8Array): Uint8Array {
  const bytes = typeof pepper === 'string' ? Buffer.from(pepper) : pepper
  if (!(bytes instanceof Uint8Array) || bytes.length < 16) throw invalidOption(name, 'a secret of at least 16 bytes')
  return bytes
}
