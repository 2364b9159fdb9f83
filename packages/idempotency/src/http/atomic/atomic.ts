import { type AtomicStore, type Claim, createAtomicStore, handlerSavepoint, Undo } from './atomic-store.ts'
import { type Queryable, sqlStateOf } from '@malote/outbox-core/postgres'
import { IdempotencyError, timedOut, wholeNumberOption } from '../../errors.ts'
import type { RequestOutcome } from '../../events.ts'
import { type HandlerResponse, type HttpRequest, type IdempotentOperation, withLimit } from '../http.ts'
import type { Settings } from '../options.ts'
import { type OperationOptions, prepare, type PreparedRequest } from '../prepare.ts'
import { answerKnown, type Ending, inProgress } from '../replay.ts'
import { encodeResponse, fateOf } from '../response.ts'
import { failureResponse } from '../store-failure.ts'
import {
  type Database,
  type IsolationLevel,
  type OpenTransaction,
  pause,
  retryTransient,
  runTransaction,
  type TransactionOf,
} from '../../database/transaction.ts'

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
  settings: Settings<Db, Context>,
  options: AtomicOptions<Context>,
  handler: AtomicHandler<TransactionOf<Db>, Context>,
): IdempotentOperation<Context> {
  const timeoutMs = wholeNumberOption('timeoutMs', options.timeoutMs, 30_000, { min: 1, max: 3_600_000 })
  const waitMs = wholeNumberOption('waitMs', options.waitMs, 0, { min: 0, max: 600_000 })
  const isolation = options.isolation ?? 'read committed'
  const store = createAtomicStore(settings, options.operation, timeoutMs)

  const execute = (open: OpenTransaction<Db>, request: PreparedRequest | null, context: Context): Promise<Ending> =>
    executeIn(settings, store, handler, timeoutMs, open, request, context)

  function attempt(request: PreparedRequest, context: Context): Promise<Claim | Ending> {
    const work = async (open: OpenTransaction<Db>): Promise<Claim | Ending> => {
      const claim = await store.claim(open, request)
      return claim.kind === 'claimed' ? execute(open, request, context) : claim
    }
    return runTransaction(settings.db, isolation, work, store.opening(request)).catch((error: unknown) => {
      throw store.explain(error)
    })
  }

  async function protectedRun(request: PreparedRequest, context: Context): Promise<Ending> {
    const deadline = performance.now() + waitMs
    for (let round = 0; ; round++) {
      const result = await retryTransient(() => attempt(request, context))
      if ('outcome' in result) return result
      if (result.kind === 'ended') return result.ending
      if (result.kind === 'known' && result.meeting !== 'in-progress')
        return answerKnown(settings, options, request, result.record, result.meeting, context)
      const leftMs = deadline - performance.now()
      if (leftMs <= 0) return inProgress(settings, result.kind === 'known' ? (result.record.leaseMs ?? 0) : 0)
      // No connection is held while waiting: any number may wait without starving the one they wait for.
      await pause(Math.min(leftMs, (0.5 + Math.random() / 2) * Math.min(200, 10 * 2 ** round)))
    }
  }

  async function run(request: HttpRequest, context: Context): Promise<Ending> {
    const prepared = await prepare(settings, options, request, context)
    if (prepared.kind === 'refused') return { outcome: 'refused', response: prepared.response }
    if (prepared.kind === 'prepared') return protectedRun(prepared.request, context)
    const savepoint = handlerSavepoint
    const unprotected = async (open: OpenTransaction<Db>): Promise<Ending> => {
      if (!open.hasSavepoint) await open.sql.query(`savepoint ${savepoint}`, [])
      return execute(open, null, context)
    }
    return retryTransient(() => runTransaction(settings.db, isolation, unprotected, { savepoint }))
  }

  const { operation } = options
  return withLimit(settings, async (request, context) => {
    const startedMs = performance.now()
    const report = (outcome: RequestOutcome, error?: unknown): void =>
      settings.report({
        type: 'request',
        operation,
        outcome,
        ms: performance.now() - startedMs,
        ...(error === undefined ? {} : { error }),
      })
    try {
      const ending = await run(request, context).catch((error: unknown) => endingOf(settings, error))
      report(ending.outcome, ending.error)
      return ending.response
    } catch (error) {
      report('rolled-back', error)
      throw error
    }
  })
}

/** Runs the handler in the transaction and decides what the transaction keeps. @throws Undo */
async function executeIn<Db extends Database, Context>(
  settings: Settings<Db, Context>,
  store: AtomicStore,
  handler: AtomicHandler<TransactionOf<Db>, Context>,
  timeoutMs: number,
  open: OpenTransaction<Db>,
  request: PreparedRequest | null,
  context: Context,
): Promise<Ending> {
  const signal = AbortSignal.timeout(timeoutMs)
  const work = Promise.resolve(handler({ tx: open.tx, request: context, signal }))
  const result = await within(signal, timeoutMs, work).catch((error: unknown) => blame(settings, open.sql, error))
  const response = encodeResponse(result)
  const fate = fateOf(result)
  if (fate === 'undo') throw new Undo({ outcome: 'rolled-back', response })
  if (fate === 'store-and-undo') await open.sql.query(`rollback to savepoint ${handlerSavepoint}`, [])
  if (request !== null) store.complete(open, request, response, result.resourceRef)
  return { outcome: 'executed', response }
}

/** @throws IdempotencyError `TIMED_OUT` when the handler has not settled in time; what it still does is for nothing */
function within<Result>(signal: AbortSignal, timeoutMs: number, work: Promise<Result>): Promise<Result> {
  const tooLate = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(timedOut(timeoutMs)), { once: true })
  })
  return Promise.race([work, tooLate])
}

/** A failure of the handler that looks like one of the store's, a foreign system that refuses connections for example. */
class HandlerFailed extends Error {
  constructor(cause: unknown) {
    super('the handler failed, and the transaction is still there', { cause })
  }
}

/** Tells a handler's own network errors from those of the transaction it was given: that one still answers. @throws always */
async function blame<Db extends Database, Context>(
  settings: Settings<Db, Context>,
  sql: Queryable,
  error: unknown,
): Promise<never> {
  const isOurs = error instanceof IdempotencyError && error.code === 'TIMED_OUT'
  if (isOurs || failureResponse(settings, error) === undefined) throw error
  const isAlive = await sql.query('select 1', []).then(
    () => true,
    (refusal: unknown) => sqlStateOf(refusal) === '25P02', // A statement of the handler has failed: that is an answer.
  )
  throw isAlive ? new HandlerFailed(error) : error
}

/** What a failed transaction has to say, if it is not the application's own error. @throws the application's error */
function endingOf<Db extends Database, Context>(settings: Settings<Db, Context>, error: unknown): Ending {
  if (error instanceof Undo) return error.ending
  if (error instanceof HandlerFailed) throw error.cause
  const response = failureResponse(settings, error)
  if (response === undefined) throw error
  const isTimeout = error instanceof IdempotencyError && error.code === 'TIMED_OUT'
  return { outcome: isTimeout ? 'rolled-back' : 'unavailable', response, error }
}
