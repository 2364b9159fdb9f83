import { type AtomicHandler, type AtomicOptions, createAtomicOperation } from './atomic/atomic.ts'
import { createBatchOperation, type RequestBatchHandler, type RequestBatchOptions } from './atomic/batch.ts'
import { createCurrentCall, type CurrentCall, transactionOf } from './current-call.ts'
import type { IdempotentOperation } from './http.ts'
import { type ApplicationSettings, type IdempotencyOptions, resolveOptions, withRetention } from './options.ts'
import type { OperationOptions } from './prepare.ts'
import { createKeyRetention, type KeyRetention } from './key-retention.ts'
import { type Completer, type CompleterHandler, type CompleterOptions, createCompleter } from './lease/completer.ts'
import { createLeaseOperation, type LeaseHandler, type LeaseOptions } from './lease/lease.ts'
import { createReconcile, type Reconcile } from './lease/reconcile.ts'
import type { LeaseStore } from './lease/stores/lease-store.ts'
import type { Database, TransactionOf } from '../database/transaction.ts'

/** Makes operations idempotent: a request and its retries have one effect and get one answer. */
export interface Idempotency<Db extends Database, Context> extends KeyRetention {
  /**
   * An operation whose effects are all in the database (and the outbox): they, the key and the response commit together.
   * Mount it with an entry point, `idempotentRoute` of `@malote/idempotency/fastify` for example.
   *
   * @throws IdempotencyError `INVALID_OPTION`
   */
  atomic(
    options: AtomicOptions<Context>,
    handler: AtomicHandler<TransactionOf<Db>, Context>,
  ): IdempotentOperation<Context>

  /**
   * `atomic` for many clients: requests that arrive while a transaction is under way share the next one, with one commit for
   * all. Each still has its own key, effect and answer: one that fails, or is refused, changes nothing for the others. One
   * transaction at a time, so a slow request holds up those behind it, up to `timeoutMs`.
   *
   * A handler must not wait for another request to the same operation.
   *
   * @throws IdempotencyError `INVALID_OPTION`
   */
  batch(
    options: RequestBatchOptions<Context>,
    handler: RequestBatchHandler<TransactionOf<Db>, Context>,
  ): IdempotentOperation<Context>

  /**
   * What the atomic handler (or batch) that runs here was called with, found by the asynchronous context; undefined outside of
   * one, and once it has settled. For code that also serves requests that are not idempotent: `idempotency.current()?.tx ?? pool`.
   */
  current(): CurrentCall<TransactionOf<Db>> | undefined

  /**
   * The transaction of the atomic handler (or batch) that runs here, for services that are not given it as an argument. Where
   * you can, hand `tx` on: a reader sees then what is in the transaction.
   *
   * @throws IdempotencyError `NOT_A_TRANSACTION` outside of a handler, and once it has settled: work that nobody waits for must
   *   not write into a transaction that has ended
   */
  transaction(): TransactionOf<Db>

  /**
   * An operation that calls foreign systems while the client waits. Prefer `atomic` and the outbox where an answer of
   * "accepted" will do: nobody can make a foreign effect part of a transaction.
   *
   * @throws IdempotencyError `INVALID_OPTION`
   */
  lease(options: LeaseOptions<Context>, handler: LeaseHandler<TransactionOf<Db>, Context>): IdempotentOperation<Context>

  /**
   * Finishes what requests of a lease operation with `resume` have begun, without waiting for their clients: their holder is
   * gone, or its handler failed, after it had called `saveRecovery`.
   *
   * @throws IdempotencyError `INVALID_OPTION`
   */
  completer(options: CompleterOptions, handler: CompleterHandler<TransactionOf<Db>>): Completer

  /** Decides what became of requests that were interrupted. @param store - as given to `lease`; PostgreSQL by default */
  reconcile(store?: LeaseStore): Reconcile
}

/**
 * Creates the HTTP side: one per process. Opens no connection of its own and starts nothing.
 *
 * @throws IdempotencyError `INVALID_OPTION`
 */
export function createIdempotency<Db extends Database, Context = unknown>(
  options: IdempotencyOptions<Db, Context>,
): Idempotency<Db, Context> {
  const settings = resolveOptions(options)
  const settingsOf = ({ retention }: Pick<OperationOptions<Context>, 'retention'>): ApplicationSettings<Db, Context> =>
    withRetention(settings, retention)
  const currentCall = createCurrentCall<TransactionOf<Db>>()
  return {
    atomic: (operationOptions, handler) =>
      createAtomicOperation(settingsOf(operationOptions), operationOptions, currentCall.during(handler)),
    batch: (operationOptions, handler) =>
      createBatchOperation(settingsOf(operationOptions), operationOptions, currentCall.during(handler)),
    current: currentCall.get,
    transaction: () => transactionOf(currentCall.get()),
    lease: (operationOptions, handler) => createLeaseOperation(settingsOf(operationOptions), operationOptions, handler),
    completer: (operationOptions, handler) => createCompleter(settingsOf(operationOptions), operationOptions, handler),
    reconcile: (store) => createReconcile(settings, store),
    ...createKeyRetention(settings),
  }
}
