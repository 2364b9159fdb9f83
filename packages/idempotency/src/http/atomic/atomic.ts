import { type AtomicStore, type Claim, createAtomicStore, Undo } from './atomic-store.ts'
import { wholeNumberOption } from '../../errors.ts'
import type { RequestOutcome } from '../../events.ts'
import type { HandlerResponse, HttpRequest, IdempotentOperation } from '../http.ts'
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
   * Time a handler is meant to take at the most, in milliseconds. Afterwards `signal` aborts and nothing of it is
   * committed any more; PostgreSQL ends the transaction if it idles that long.
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
    executeIn(store, handler, timeoutMs, open, request, context)

  function attempt(request: PreparedRequest, context: Context): Promise<Claim | Ending> {
    return runTransaction(settings.db, isolation, async (open) => {
      const claim = await store.claim(open.sql, request)
      return claim.kind === 'claimed' ? execute(open, request, context) : claim
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
    return retryTransient(() => runTransaction(settings.db, isolation, (open) => execute(open, null, context)))
  }

  return async (request, context) => {
    const startedMs = performance.now()
    const report = (outcome: RequestOutcome): void =>
      settings.report({ type: 'request', operation: options.operation, outcome, ms: performance.now() - startedMs })
    try {
      const ending = await run(request, context).catch((error: unknown) => endingOf(settings, error))
      report(ending.outcome)
      return ending.response
    } catch (error) {
      report('rolled-back')
      throw error
    }
  }
}

/** Runs the handler in the transaction and decides what the transaction keeps. @throws Undo */
async function executeIn<Db extends Database, Context>(
  store: AtomicStore,
  handler: AtomicHandler<TransactionOf<Db>, Context>,
  timeoutMs: number,
  open: OpenTransaction<Db>,
  request: PreparedRequest | null,
  context: Context,
): Promise<Ending> {
  const signal = AbortSignal.timeout(timeoutMs)
  await open.sql.query('savepoint malote_handler', [])
  const result = await handler({ tx: open.tx, request: context, signal })
  const response = encodeResponse(result)
  const fate = fateOf(result)
  if (fate === 'undo') throw new Undo({ outcome: 'rolled-back', response })
  signal.throwIfAborted()
  if (fate === 'store-and-undo') await open.sql.query('rollback to savepoint malote_handler', [])
  if (request !== null) await store.complete(open.sql, request, response, result.resourceRef)
  return { outcome: 'executed', response }
}

/** What a failed transaction has to say, if it is not the application's own error. @throws the application's error */
function endingOf<Db extends Database, Context>(settings: Settings<Db, Context>, error: unknown): Ending {
  if (error instanceof Undo) return error.ending
  const response = failureResponse(settings, error)
  if (response === undefined) throw error
  return { outcome: 'unavailable', response }
}
