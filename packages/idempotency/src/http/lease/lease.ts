import { answering, type NotRun, untilSettled } from '../answer.ts'
import { IdempotencyError, invalidOption, isCommitUnknown, wholeNumberOption } from '../../errors.ts'
import type { RequestOutcome } from '../../events.ts'
import type { Fingerprint } from '../fingerprint.ts'
import type { HandlerResponse, HttpRequest, IdempotentOperation } from '../http.ts'
import type { ApplicationSettings, Settings } from '../options.ts'
import { type KeyRecord, meet } from '../key-record.ts'
import { type LeaseAttempt, type LeaseCall, startAttempt } from './attempt.ts'
import { type OperationOptions, prepare, type PreparedRequest } from '../prepare.ts'
import type { Ending } from '../ending.ts'
import { inProgress, keyExpired, noEffect } from '../refusals.ts'
import { encodeResponse, fateOf } from '../response.ts'
import { isUnavailable } from '../../database/unavailable.ts'
import { failureResponse } from '../store-failure.ts'
import type { LeaseClaimResult, LeaseExpiryPolicy, LeaseStore } from './stores/lease-store.ts'
import { createPostgresLeaseStore, type PostgresLeaseStore } from './stores/postgres-lease-store.ts'
import type { Database, TransactionOf } from '../../database/transaction.ts'

/**
 * How an operation of lease mode is held while its handler runs, and what happens when its holder is gone.
 *
 * @typeParam Context - what your framework calls the request, given to `tenant` and `subject`
 */
export interface LeaseOptions<Context> extends Omit<OperationOptions<Context>, 'required'> {
  /** How long a holder may be silent before it counts as gone, in milliseconds; renewed at a third of it. @defaultValue 30_000 */
  readonly leaseMs?: number
  /**
   * What happens to a request whose holder is gone, and nobody knows whether its foreign call took effect.
   * `hold`: it becomes indeterminate and waits for `reconcile`. `resume`: the handler runs again and goes on from
   * `recovery`. `retry`: the handler runs again; everything it does is idempotent downstream (use `downstreamKey`).
   *
   * @defaultValue "hold": a foreign effect repeated by guess is the one thing that cannot be undone
   */
  readonly onLeaseExpired?: LeaseExpiryPolicy
  /** Attempts after which the request becomes indeterminate. @defaultValue 5 */
  readonly maxAttempts?: number
  /** Where keys and responses live. @defaultValue PostgreSQL, on `db`: the only one that can `commit` effects with the response */
  readonly store?: LeaseStore
}

/**
 * The application's code. Returning stores the response, as atomic mode does by status. Throwing `NoEffectError` lets the
 * next retry run at once; any other error (and a response that is not stored) does too with `resume` and `retry`, and with
 * `hold` makes the request indeterminate.
 */
export type LeaseHandler<Tx, Context> = (call: LeaseCall<Tx, Context>) => Promise<HandlerResponse>

/** Thrown by a lease handler that knows that nothing has happened: the foreign system was never reached, or refused for now. */
export class NoEffectError extends Error {
  override readonly name = 'NoEffectError'
  /** Sent instead of a 503. Not stored. */
  readonly response: HandlerResponse | undefined

  constructor(message: string, options: ErrorOptions & { readonly response?: HandlerResponse } = {}) {
    super(message, options)
    this.response = options.response
  }
}

/**
 * For handlers that call foreign systems while the client waits. The key is claimed before the work and completed after
 * it, under a lease with a fence; what a lost lease means is the policy's to say.
 */
export function createLeaseOperation<Db extends Database, Context>(
  settings: ApplicationSettings<Db, Context>,
  options: LeaseOptions<Context>,
  handler: LeaseHandler<TransactionOf<Db>, Context>,
): IdempotentOperation<Context> {
  const lease = resolveLease(settings, options, handler)

  async function run(request: HttpRequest, context: Context): Promise<Ending> {
    const prepared = await prepare(settings, { ...options, required: true }, request, context)
    if (prepared.kind === 'refused') return { outcome: 'refused', response: prepared.response }
    if (prepared.kind === 'unprotected')
      throw invalidOption('lease', `mounted on a method that changes something; ${request.method} carries no key`)
    try {
      const attempt = claimer(lease, prepared.request, context)
      return await untilSettled(settings, options, lease.waitMs, prepared.request, context, attempt)
    } catch (error) {
      // A handler's own network error says nothing about our store.
      if (isCommitUnknown(error)) return unavailable(settings, error)
      throw error
    }
  }

  return answering(settings, options.operation, run, () =>
    lease.onLeaseExpired === 'hold' ? 'indeterminate' : 'rolled-back',
  )
}

/** A lease operation with its options checked. */
export interface Lease<Db extends Database, Context> {
  readonly settings: ApplicationSettings<Db, Context>
  readonly options: LeaseOptions<Context>
  readonly handler: LeaseHandler<TransactionOf<Db>, Context>
  readonly store: LeaseStore
  /** The store, if it is the one that can commit effects. */
  readonly postgres: PostgresLeaseStore<Db> | undefined
  readonly leaseMs: number
  readonly waitMs: number
  readonly maxAttempts: number
  readonly onLeaseExpired: LeaseExpiryPolicy
}

type Attempt<Db extends Database, Context> = LeaseAttempt<TransactionOf<Db>, Context>
type Claimed = Extract<LeaseClaimResult, { kind: 'claimed' }>

/** @throws IdempotencyError `INVALID_OPTION` */
export function resolveLease<Db extends Database, Context>(
  settings: ApplicationSettings<Db, Context>,
  options: LeaseOptions<Context>,
  handler: LeaseHandler<TransactionOf<Db>, Context>,
): Lease<Db, Context> {
  const onLeaseExpired = options.onLeaseExpired ?? 'hold'
  if (!['hold', 'resume', 'retry'].includes(onLeaseExpired))
    throw invalidOption('onLeaseExpired', '"hold", "resume" or "retry"')
  const postgres = createPostgresLeaseStore(settings.db, settings)
  return {
    settings,
    options,
    handler,
    onLeaseExpired,
    store: options.store ?? postgres,
    postgres: options.store === undefined ? postgres : undefined,
    leaseMs: wholeNumberOption('leaseMs', options.leaseMs, 30_000, { min: 30, max: 3_600_000 }),
    waitMs: wholeNumberOption('waitMs', options.waitMs, 0, { min: 0, max: 600_000 }),
    maxAttempts: wholeNumberOption('maxAttempts', options.maxAttempts, 5, { min: 1, max: 1_000 }),
  }
}

/** Claims the key and, when it gets it, works: once for each call. */
function claimer<Db extends Database, Context>(
  lease: Lease<Db, Context>,
  request: PreparedRequest,
  context: Context,
): () => Promise<Ending | NotRun> {
  const { settings, store, leaseMs, onLeaseExpired, maxAttempts } = lease
  const { operation } = lease.options
  const policy = { operation, leaseMs, keyRetentionMs: settings.keyRetentionMs, onLeaseExpired, maxAttempts }
  const subjectHash = request.subjectHash()
  let fingerprint: Pick<Fingerprint, 'digest' | 'version'> = request.fingerprint
  return async () => {
    for (;;) {
      const result = await store
        .claim({
          ...request,
          ...policy,
          subjectHash,
          fingerprintVersion: fingerprint.version,
          fingerprint: fingerprint.digest,
        })
        .catch((error: unknown) => unavailable(settings, error))
      if ('outcome' in result) return result
      if (result.kind === 'claimed') return work(lease, request, result, context)
      if (result.kind === 'too-old') return keyExpired(settings)
      // A store compares digests as they are: a key of an earlier version, or under another pepper, is claimed with what that
      // version and that pepper make of the request.
      const asStored = result.record.expired ? undefined : request.fingerprint.like(result.record)
      if (asStored === undefined || asStored.digest.equals(fingerprint.digest)) return notRun(result.record, request)
      fingerprint = asStored
    }
  }
}

/** What is free by now is claimed in the next round: the claim and this look at it were two. */
function notRun(record: KeyRecord, { fingerprint }: PreparedRequest): NotRun {
  const meeting = meet(record, fingerprint)
  if (meeting === 'abandoned' || meeting === 'retryable' || meeting === 'expired')
    return { kind: 'busy', leaseMs: record.leaseMs ?? 0 }
  return { kind: 'known', record, meeting }
}

async function work<Db extends Database, Context>(
  lease: Lease<Db, Context>,
  request: PreparedRequest,
  claimed: Claimed,
  context: Context,
): Promise<Ending> {
  const { settings, handler, leaseMs } = lease
  const told = { operation: lease.options.operation, attempt: claimed.attempt }
  if (claimed.takenOver) settings.report({ type: 'lease.taken-over', ...told })
  const running = startAttempt(settings, lease, { ...request, ...claimed }, leaseMs, context)
  try {
    return await finish(lease, running, await handler(running.call))
  } catch (error) {
    if (error instanceof IdempotencyError && error.code === 'LEASE_LOST') {
      settings.report({ type: 'lease.lost', ...told })
      return inProgress(settings, 0)
    }
    return await giveUp(lease, running, error)
  } finally {
    await running.end()
  }
}

/** The handler returned: its response is stored, unless its status says otherwise. */
async function finish<Db extends Database, Context>(
  lease: Lease<Db, Context>,
  running: Attempt<Db, Context>,
  result: HandlerResponse,
): Promise<Ending> {
  const committed = running.committed()
  if (committed !== undefined) return { outcome: 'executed', response: committed }
  const response = encodeResponse(result)
  if (fateOf(result) === 'undo') {
    const mayGoOn = lease.onLeaseExpired !== 'hold'
    return { outcome: await release(running, mayGoOn, lease.onLeaseExpired === 'resume'), response }
  }
  await running.end()
  await running.complete(response, result.resourceRef).catch(explainComplete)
  return { outcome: 'executed', response }
}

/** The handler threw. @throws its error, unless that was a `NoEffectError` */
async function giveUp<Db extends Database, Context>(
  lease: Lease<Db, Context>,
  running: Attempt<Db, Context>,
  error: unknown,
): Promise<Ending> {
  // Committed, or perhaps so: the key's row knows, and if it does not, its lease runs out and the policy decides.
  if (running.committed() !== undefined || isCommitUnknown(error)) throw error
  const isProven = error instanceof NoEffectError
  const mayGoOn = !isProven && lease.onLeaseExpired === 'resume'
  const outcome = await release(running, isProven || lease.onLeaseExpired !== 'hold', mayGoOn)
  if (!(error instanceof NoEffectError)) throw error
  if (error.response !== undefined) return { outcome, response: encodeResponse(error.response) }
  return { outcome, response: noEffect(lease.settings) }
}

async function release(
  running: Pick<LeaseAttempt<unknown, unknown>, 'end' | 'release' | 'abandon'>,
  noEffect: boolean,
  mayGoOn: boolean,
): Promise<RequestOutcome> {
  await running.end()
  if (mayGoOn && (await running.abandon().catch(() => false))) return 'rolled-back'
  // A store that cannot be told lets the lease run out, and the policy decides.
  await running.release(noEffect ? 'retryable' : 'indeterminate').catch(() => false)
  return noEffect ? 'rolled-back' : 'indeterminate'
}

/** Fails closed. @throws the error when it does not say that the store is out of reach */
function unavailable(settings: Settings, error: unknown): Ending {
  const response = failureResponse(settings, error)
  if (response === undefined) throw error
  return { outcome: 'unavailable', response, error }
}

/** The work is done and the store did not say whether it knows. @throws always */
function explainComplete(error: unknown): never {
  if (!isUnavailable(error)) throw error
  throw new IdempotencyError(
    'COMMIT_UNKNOWN',
    'the store was lost while it stored the response: only a retry can tell',
    {
      cause: error,
    },
  )
}
