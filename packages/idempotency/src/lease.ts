import { IdempotencyError, invalidOption, wholeNumberOption } from './errors.ts'
import type { RequestOutcome } from './events.ts'
import { fingerprintVersion } from './fingerprint.ts'
import type { HandlerResponse, HttpRequest, IdempotentOperation } from './http.ts'
import type { Settings } from './idempotency-options.ts'
import { meet } from './key-record.ts'
import { type LeaseAttempt, type LeaseCall, startAttempt } from './lease-attempt.ts'
import { type OperationOptions, prepare, type PreparedRequest } from './prepare.ts'
import { answerKnown, type Ending, inProgress } from './replay.ts'
import { encodeResponse, fateOf } from './response.ts'
import { failureResponse, isUnavailable } from './store-failure.ts'
import type { LeaseClaimResult, LeaseExpiryPolicy, LeaseStore } from './stores/lease-store.ts'
import { createPostgresLeaseStore } from './stores/postgres-lease-store.ts'
import { type Database, pause, type TransactionOf } from './transaction.ts'

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
  settings: Settings<Db, Context>,
  options: LeaseOptions<Context>,
  handler: LeaseHandler<TransactionOf<Db>, Context>,
): IdempotentOperation<Context> {
  const leaseMs = wholeNumberOption('leaseMs', options.leaseMs, 30_000, { min: 30, max: 3_600_000 })
  const waitMs = wholeNumberOption('waitMs', options.waitMs, 0, { min: 0, max: 600_000 })
  const maxAttempts = wholeNumberOption('maxAttempts', options.maxAttempts, 5, { min: 1, max: 1_000 })
  const onLeaseExpired = options.onLeaseExpired ?? 'hold'
  if (!['hold', 'resume', 'retry'].includes(onLeaseExpired))
    throw invalidOption('onLeaseExpired', '"hold", "resume" or "retry"')
  const postgres = createPostgresLeaseStore(settings.db, settings)
  const store = options.store ?? postgres
  const stores = { store, postgres: options.store === undefined ? postgres : undefined }
  const { operation } = options

  function claim(request: PreparedRequest): Promise<LeaseClaimResult> {
    const { keyRetentionMs } = settings
    return store.claim({
      ...request,
      fingerprintVersion,
      operation,
      leaseMs,
      keyRetentionMs,
      onLeaseExpired,
      maxAttempts,
    })
  }

  async function work(
    request: PreparedRequest,
    claimed: Extract<LeaseClaimResult, { kind: 'claimed' }>,
    context: Context,
  ): Promise<Ending> {
    const { attempt } = claimed
    if (claimed.takenOver) settings.report({ type: 'lease.taken-over', operation, attempt })
    const running = startAttempt(settings, stores, { ...claimed, ...request }, leaseMs, context)
    try {
      return await finish(running, await handler(running.call))
    } catch (error) {
      if (error instanceof IdempotencyError && error.code === 'LEASE_LOST') {
        settings.report({ type: 'lease.lost', operation, attempt })
        return inProgress(settings, 0)
      }
      return await giveUp(running, error)
    } finally {
      await running.end()
    }
  }

  async function finish(running: LeaseAttempt<TransactionOf<Db>, Context>, result: HandlerResponse): Promise<Ending> {
    const committed = running.committed()
    if (committed !== undefined) return { outcome: 'executed', response: committed }
    const response = encodeResponse(result)
    if (fateOf(result) !== 'undo') {
      await running.end()
      await running.complete(response, result.resourceRef).catch(explainComplete)
      return { outcome: 'executed', response }
    }
    const outcome = await release(running, onLeaseExpired !== 'hold')
    return { outcome, response }
  }

  async function giveUp(running: LeaseAttempt<TransactionOf<Db>, Context>, error: unknown): Promise<Ending> {
    // Committed, or perhaps so: the key's row knows, and if it does not, its lease runs out and the policy decides.
    if (running.committed() !== undefined || isCommitUnknown(error)) throw error
    const outcome = await release(running, error instanceof NoEffectError || onLeaseExpired !== 'hold')
    if (!(error instanceof NoEffectError)) throw error
    if (error.response !== undefined) return { outcome, response: encodeResponse(error.response) }
    const detail = 'The request could not be carried out now; nothing has happened. Retry with the same key.'
    return { outcome, response: settings.problem('no-effect', { detail, retryAfterSeconds: 1 }) }
  }

  async function release(
    running: LeaseAttempt<TransactionOf<Db>, Context>,
    noEffect: boolean,
  ): Promise<RequestOutcome> {
    await running.end()
    // A store that cannot be told lets the lease run out, and the policy decides.
    await running.release(noEffect ? 'retryable' : 'indeterminate').catch(() => false)
    return noEffect ? 'rolled-back' : 'indeterminate'
  }

  async function protectedRun(request: PreparedRequest, context: Context): Promise<Ending> {
    const deadline = performance.now() + waitMs
    for (let round = 0; ; round++) {
      const result = await claim(request).catch((error: unknown) => unavailable(settings, error))
      if ('outcome' in result) return result
      if (result.kind === 'claimed') return work(request, result, context)
      if (result.kind === 'too-old') {
        const detail = 'Its time is too long ago to know whether it was used. Use a new key if you know it was not.'
        return { outcome: 'expired', response: settings.problem('key-expired', { detail }) }
      }
      const meeting = meet(result.record, request.fingerprint)
      if (meeting !== 'in-progress' && meeting !== 'retryable' && meeting !== 'expired')
        return answerKnown(settings, options, request, result.record, meeting, context)
      const leftMs = deadline - performance.now()
      if (leftMs <= 0) return inProgress(settings, Math.max(0, result.record.leaseMs ?? 0))
      await pause(Math.min(leftMs, (0.5 + Math.random() / 2) * Math.min(200, 10 * 2 ** round)))
    }
  }

  async function run(request: HttpRequest, context: Context): Promise<Ending> {
    const prepared = await prepare(settings, { ...options, required: true }, request, context)
    if (prepared.kind === 'prepared') return protectedRun(prepared.request, context)
    if (prepared.kind === 'refused') return { outcome: 'refused', response: prepared.response }
    throw invalidOption('lease', `mounted on a method that changes something; ${request.method} carries no key`)
  }

  return async (request, context) => {
    const startedMs = performance.now()
    const report = (outcome: RequestOutcome): void =>
      settings.report({ type: 'request', operation, outcome, ms: performance.now() - startedMs })
    try {
      const ending = await run(request, context).catch((error: unknown) => {
        // A handler's own network error says nothing about our store.
        if (isCommitUnknown(error)) return unavailable(settings, error)
        throw error
      })
      report(ending.outcome)
      return ending.response
    } catch (error) {
      report(onLeaseExpired === 'hold' ? 'indeterminate' : 'rolled-back')
      throw error
    }
  }
}

/** Fails closed. @throws the error when it does not say that the store is out of reach */
function unavailable<Db extends Database, Context>(settings: Settings<Db, Context>, error: unknown): Ending {
  const response = failureResponse(settings, error)
  if (response === undefined) throw error
  return { outcome: 'unavailable', response }
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

function isCommitUnknown(error: unknown): boolean {
  return error instanceof IdempotencyError && error.code === 'COMMIT_UNKNOWN'
}
