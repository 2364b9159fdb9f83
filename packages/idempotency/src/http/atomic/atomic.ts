import { answering, type NotRun, untilSettled } from '../answer.ts'
import { type ClaimedKeys, createClaimKeys, isClaimed } from './claim-keys.ts'
import { beforeRollback, type HandlersWork, outcomeOfThrown, undoHandler } from './effects-without-record.ts'
import { blame, endingOf, type HandlerResult, startDeadline, toResult, Undo, UndoneOutside } from './run-handler.ts'
import { invalidOption, wholeNumberOption } from '../../errors.ts'
import type { HandlerResponse, HttpRequest, IdempotentOperation } from '../http.ts'
import type { ApplicationSettings } from '../options.ts'
import { type OperationOptions, prepare, type PreparedRequest } from '../prepare.ts'
import type { Ending } from '../ending.ts'
import { retryTransient } from '../../database/retry-transient.ts'
import type { Database, IsolationLevel, OpenTransaction, TransactionOf } from '../../database/transaction.ts'

/**
 * How an operation of atomic mode runs: its name, the time its handler may take, and the isolation of its transaction.
 *
 * @typeParam Context - what your framework calls the request, given to `tenant` and `subject`
 */
export interface AtomicOptions<Context> extends OperationOptions<Context> {
  /**
   * Time a handler may take, in milliseconds. Afterwards `signal` aborts, the request is answered with 503 `timed-out`, and
   * nothing of the handler is committed any more: it loses its connection, whatever it still does. A process that hangs
   * does not keep the transaction open: PostgreSQL ends it when it has idled for a little longer.
   *
   * @defaultValue 30_000: a transaction that is open longer hurts everybody
   */
  readonly timeoutMs?: number
  /** Isolation of the transaction. Conflicts are retried, with the handler run again. @defaultValue "read committed" */
  readonly isolation?: IsolationLevel
  /**
   * Run the handler again when PostgreSQL picks its transaction as the victim of a conflict (serialization failure, deadlock).
   * With `false` such a request is answered with 503 `no-effect`, for handlers that can run only once.
   *
   * @defaultValue true: the client need not know
   */
  readonly retryConflicts?: boolean
  /**
   * What happens to a request whose key a lease operation has left behind, its holder gone: when an operation that was one
   * is made atomic. `hold`: 409 `indeterminate`, until `reconcile` decides. `retry`: the handler runs; what the holder may
   * still do is refused by the fence.
   *
   * @defaultValue "hold": the holder may have called a foreign system, and the handler would cause it to be called again
   */
  readonly onLeaseExpired?: 'hold' | 'retry'
}

/** What an atomic handler is called with. */
export interface AtomicCall<Tx, Context> {
  /** The transaction that also holds the key and the response. Every effect must go through it; add outbox messages to it. */
  readonly tx: Tx
  readonly request: Context
  /** Aborts when `timeoutMs` has passed. */
  readonly signal: AbortSignal
}

/** The application's code. It may run more than once; what it did through `tx` is kept at most once. */
export type AtomicHandler<Tx, Context> = (call: AtomicCall<Tx, Context>) => Promise<HandlerResponse>

/**
 * Key, effect, outbox messages and response in one transaction: after its commit a retry gets the response again, before
 * it nothing has happened. That is why a failed request is not stored: the rollback proves it had no effect.
 */
export function createAtomicOperation<Db extends Database, Context>(
  settings: ApplicationSettings<Db, Context>,
  options: AtomicOptions<Context>,
  handler: AtomicHandler<TransactionOf<Db>, Context>,
): IdempotentOperation<Context> {
  const checked = atomicOptions(options)
  const { timeoutMs, waitMs, isolation } = checked
  const claimKeys = createClaimKeys(settings, options.operation, checked)
  const retried: typeof retryTransient = options.retryConflicts === false ? (work) => work() : retryTransient

  /**
   * Runs the handler in the transaction and decides what the transaction keeps.
   *
   * @param undone - what the handler has come to in a transaction that was rolled back for it: it is not run again
   */
  async function execute(
    keys: ClaimedKeys<Db>,
    request: PreparedRequest | null,
    context: Context,
    undone: HandlerResult | null,
  ): Promise<Ending | NotRun> {
    const { open } = keys
    const [claim = { kind: 'claimed' }] = keys.claims
    if (!isClaimed(claim)) {
      // A record is the answer, whatever becomes of the transaction that read it. Without one the locks must be gone before the client asks again.
      if ('kind' in claim && claim.kind === 'known') open.endUnawaited()
      return claim
    }
    // A round trip of its own for each request would be dear: only a response that undoes its effects needs the point. What a
    // serializable transaction has read holds only if it commits, so there the refusal commits with what it was decided by.
    const hasPoint = open.hasSavepoint || isolation === 'serializable'
    const requests = request === null ? [] : [request]
    const begin = (): HandlersWork => keys.begins(hasPoint ? keys.savepoint : null, () => requests)
    const result = undone ?? (await runHandler(open, begin(), context))
    if (request !== null) keys.complete([{ request, ...result }])
    return { outcome: 'executed', response: result.response }
  }

  /** @throws Undo, UndoneOutside, and whatever the handler throws: each only behind a look whether a rollback undoes what it did */
  async function runHandler(open: OpenTransaction<Db>, work: HandlersWork, context: Context): Promise<HandlerResult> {
    await work.savepoint?.take()
    const deadline = startDeadline(timeoutMs)
    const failed = async (why: unknown): Promise<never> => {
      throw await beforeRollback(work, why)
    }
    const handled = async (): Promise<HandlerResponse> =>
      handler({ tx: open.tx, request: context, signal: deadline.signal })
    const result = await deadline
      .within(handled())
      .then(toResult)
      .catch((error: unknown) => blame(settings, open.sql, error))
      .catch(failed)
      .finally(() => deadline.end())
    const { response, fate } = result
    if (fate === 'undo') return failed(new Undo({ outcome: 'rolled-back', response }))
    if (fate === 'store') return result
    if (work.savepoint !== null) {
      await undoHandler(work)
      return result
    }
    // Without a key there is nothing to store.
    const hasKey = work.requests().length > 0
    return failed(hasKey ? new UndoneOutside(result) : new Undo({ outcome: 'executed', response }))
  }

  /** Tries one request as often as it is called. A handler whose effects were undone outside of its transaction is not run again. */
  function attemptsAt(request: PreparedRequest | null, context: Context): () => Promise<Ending | NotRun> {
    const requests = request === null ? [] : [request]
    let undone: HandlerResult | null = null
    async function once(): Promise<Ending | NotRun> {
      const known = request === null ? undefined : await claimKeys.recall(request)
      if (known !== undefined) return known
      const result = await claimKeys(requests, (keys) => execute(keys, request, context, undone))
      const hasRecord = 'outcome' in result ? result.outcome === 'executed' : result.kind === 'known'
      if (request !== null && hasRecord) claimKeys.remember(request)
      return result
    }
    return async function attempt(): Promise<Ending | NotRun> {
      try {
        return await (undone === null ? retried : retryTransient)(once)
      } catch (error) {
        if (!(error instanceof UndoneOutside)) return endingOf(settings, error, undone !== null)
        // Between the two transactions the key is free. Whoever takes it meanwhile finds no effect of ours, and comes first.
        undone = error.result
        return attempt()
      }
    }
  }

  const run = async (request: HttpRequest, context: Context): Promise<Ending> => {
    const prepared = await prepare(settings, options, request, context)
    if (prepared.kind === 'refused') return { outcome: 'refused', response: prepared.response }
    if (prepared.kind === 'unprotected') return (await attemptsAt(null, context)()) as Ending
    return untilSettled(settings, options, waitMs, prepared.request, context, attemptsAt(prepared.request, context))
  }
  return answering(settings, options.operation, run, outcomeOfThrown)
}

/** @throws IdempotencyError `INVALID_OPTION` */
export function atomicOptions<Context>(options: AtomicOptions<Context>): {
  readonly timeoutMs: number
  readonly waitMs: number
  readonly isolation: IsolationLevel
  readonly takesOver: boolean
} {
  const { onLeaseExpired = 'hold' } = options
  if (!['hold', 'retry'].includes(onLeaseExpired)) throw invalidOption('onLeaseExpired', '"hold" or "retry"')
  return {
    takesOver: onLeaseExpired === 'retry',
    timeoutMs: wholeNumberOption('timeoutMs', options.timeoutMs, 30_000, { min: 1, max: 3_600_000 }),
    waitMs: wholeNumberOption('waitMs', options.waitMs, 0, { min: 0, max: 600_000 }),
    isolation: options.isolation ?? 'read committed',
  }
}
