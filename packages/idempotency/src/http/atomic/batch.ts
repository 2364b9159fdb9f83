import { inBatches } from '@malote/outbox-core'
import { answering, type NotRun, untilSettled } from '../answer.ts'
import { type AtomicOptions, atomicOptions } from './atomic.ts'
import { type Claim, type ClaimedKeys, type Completion, createClaimKeys, isClaimed } from './claim-keys.ts'
import { beforeRollback, outcomeOfThrown } from './effects-without-record.ts'
import { inTransactions, type Part, runInParts } from './cut-batch.ts'
import { endingOf, HandlerFailed, startDeadline } from './run-handler.ts'
import { isEndedByHandler, wholeNumberOption } from '../../errors.ts'
import type { HandlerSavepoint } from '../../database/handler-savepoint.ts'
import type { HandlerResponse, HttpRequest, IdempotentOperation } from '../http.ts'
import type { ApplicationSettings } from '../options.ts'
import { prepare, type PreparedRequest } from '../prepare.ts'
import type { Ending } from '../ending.ts'
import { retryTransient } from '../../database/retry-transient.ts'
import type { Database, OpenTransaction, TransactionOf } from '../../database/transaction.ts'

/**
 * How many requests share one transaction, and how long one of them may wait for others.
 *
 * @typeParam Context - what your framework calls the request, given to `tenant` and `subject`
 */
export interface RequestBatchOptions<Context> extends Omit<AtomicOptions<Context>, 'retryConflicts'> {
  /** Requests in one transaction at the most, up to 1000. @defaultValue 32: more save little, and keep everybody's answer waiting */
  readonly maxSize?: number
  /**
   * Longest wait of a request for company before a batch that is not full runs, in milliseconds.
   *
   * @defaultValue 0: nobody waits for company; what arrives while a batch runs is the next one
   */
  readonly maxWaitMs?: number
}

/** What a batch handler is called with. */
export interface RequestBatchCall<Tx, Context> {
  /** The transaction that also holds the keys and the responses. Every effect must go through it. */
  readonly tx: Tx
  /** In the order they came, each with a key of its own. At least one. */
  readonly requests: readonly Context[]
  /** Aborts when `timeoutMs` has passed since the handler was first called in this transaction. */
  readonly signal: AbortSignal
}

/**
 * The application's code: one response for each request, in their order. It may run more than once, with fewer of the
 * requests; what it did through `tx` is kept at most once. It must treat the requests as if they came one after the other.
 */
export type RequestBatchHandler<Tx, Context> = (
  call: RequestBatchCall<Tx, Context>,
) => Promise<readonly HandlerResponse[]>

interface Item<Context> {
  /** Null: without a key, and unprotected. */
  readonly request: PreparedRequest | null
  readonly context: Context
}

/** `again`: another one goes first, which has the same key, or whose handler has ended the transaction of both. */
type Verdict = Ending | NotRun | { readonly kind: 'again' } | { readonly kind: 'failed'; readonly error: unknown }

/**
 * Atomic requests that share a transaction: those that arrive while one is under way are in the next. Its protocol and its
 * interleavings are in docs/decisions.
 */
export function createBatchOperation<Db extends Database, Context>(
  settings: ApplicationSettings<Db, Context>,
  options: RequestBatchOptions<Context>,
  handler: RequestBatchHandler<TransactionOf<Db>, Context>,
): IdempotentOperation<Context> {
  const { waitMs } = atomicOptions(options)
  const maxSize = wholeNumberOption('maxSize', options.maxSize, 32, { min: 1, max: 1_000 })
  const lingerMs = wholeNumberOption('maxWaitMs', options.maxWaitMs, 0, { min: 0, max: 60_000 })
  const transact = createBatchTransaction(settings, options, handler)

  async function runBatch(items: readonly Item<Context>[]): Promise<readonly PromiseSettledResult<Verdict>[]> {
    const firsts = firstOfEachKey(items)
    const verdicts = await inTransactions([...firsts], transact, (error): Verdict => ({ kind: 'failed', error }))
    return items.map((item) => ({ status: 'fulfilled', value: verdicts.get(item) ?? { kind: 'again' } }))
  }
  const enqueue = inBatches(runBatch, { maxSize, lingerMs })

  async function attempt(item: Item<Context>): Promise<Ending | NotRun> {
    for (;;) {
      const verdict = await enqueue(item)
      if ('outcome' in verdict) return verdict
      if (verdict.kind === 'failed') return endingOf(settings, verdict.error)
      if (verdict.kind !== 'again') return verdict
    }
  }

  const run = async (request: HttpRequest, context: Context): Promise<Ending> => {
    const prepared = await prepare(settings, options, request, context)
    if (prepared.kind === 'refused') return { outcome: 'refused', response: prepared.response }
    if (prepared.kind === 'unprotected') return (await attempt({ request: null, context })) as Ending
    const item = { request: prepared.request, context }
    return untilSettled(settings, options, waitMs, prepared.request, context, () => attempt(item))
  }
  return answering(settings, options.operation, run, outcomeOfThrown)
}

function firstOfEachKey<Context>(items: readonly Item<Context>[]): ReadonlySet<Item<Context>> {
  const keys = new Set<string>()
  return new Set(
    items.filter(({ request }) => {
      if (request === null) return true
      const key = `${request.keyHash.toString('hex')} ${request.tenant}`
      return !keys.has(key) && keys.add(key)
    }),
  )
}

/** One transaction of a batch: claims the keys, runs the handler, stores the responses. */
function createBatchTransaction<Db extends Database, Context>(
  settings: ApplicationSettings<Db, Context>,
  options: RequestBatchOptions<Context>,
  handler: RequestBatchHandler<TransactionOf<Db>, Context>,
): (items: readonly Item<Context>[]) => Promise<readonly Verdict[]> {
  const checked = atomicOptions(options)
  const claimKeys = createClaimKeys(settings, options.operation, checked)

  async function execute(
    keys: ClaimedKeys<Db>,
    items: readonly Item<Context>[],
    touched: Set<Item<Context>>,
  ): Promise<readonly Verdict[]> {
    const claims = [...keys.claims]
    const verdicts = new Map<Item<Context>, Verdict>()
    const running: Item<Context>[] = []
    for (const item of items) {
      const claim = item.request === null ? undefined : (claims.shift() as Claim)
      if (claim === undefined || isClaimed(claim)) running.push(item)
      else verdicts.set(item, claim)
    }
    const work = keys.begins(keys.savepoint, () => [...touched].flatMap(({ request }) => request ?? []))
    const parts = await runHandler(keys.open, running, keys.savepoint, touched).catch(async (error: unknown) => {
      throw await beforeRollback(work, error)
    })
    const done: Completion[] = []
    for (const [at, item] of running.entries()) {
      const part = parts[at] as Part
      if ('error' in part) {
        verdicts.set(item, { kind: 'failed', error: new HandlerFailed(part.error) })
        continue
      }
      const { response, resourceRef, fate } = part
      verdicts.set(item, { outcome: fate === 'undo' ? 'rolled-back' : 'executed', response })
      if (fate !== 'undo' && item.request !== null) done.push({ request: item.request, response, resourceRef })
    }
    keys.complete(done)
    return items.map((item) => verdicts.get(item) as Verdict)
  }

  async function runHandler(
    open: OpenTransaction<Db>,
    items: readonly Item<Context>[],
    savepoint: HandlerSavepoint,
    touched: Set<Item<Context>>,
  ): Promise<readonly Part[]> {
    if (items.length === 0) return []
    const deadline = startDeadline(checked.timeoutMs)
    const handle = (part: readonly Item<Context>[]): Promise<readonly HandlerResponse[]> => {
      const call = { tx: open.tx, requests: part.map(({ context }) => context), signal: deadline.signal }
      return deadline.within(Promise.resolve(handler(call)))
    }
    return runInParts(items, handle, savepoint, touched).finally(() => deadline.end())
  }

  return async (items) => {
    const requests = items.flatMap(({ request }) => request ?? [])
    const touched = new Set<Item<Context>>()
    const once = (): Promise<readonly Verdict[]> => {
      touched.clear()
      return claimKeys(requests, (keys) => execute(keys, items, touched))
    }
    try {
      return await retryTransient(once)
    } catch (error) {
      // Of the others nothing was done, or it was undone before: they run without those that the handler ended it for.
      if (isEndedByHandler(error) && touched.size > 0)
        return items.map((item) => (touched.has(item) ? { kind: 'failed', error } : { kind: 'again' }))
      throw error
    }
  }
}
