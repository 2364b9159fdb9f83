import { IdempotencyError } from '../../errors.ts'
import { type Heartbeat, startHeartbeat } from './renew-lease.ts'
import { createHandlerSavepoint } from '../../database/handler-savepoint.ts'
import type { HandlerResponse, HttpResponse } from '../http.ts'
import type { Settings } from '../options.ts'
import { encodeResponse, fateOf } from '../response.ts'
import { downstreamKey } from '../scope.ts'
import { createResponseSealer } from '../stored-response.ts'
import type { LeasedKey, LeaseClaimResult, LeaseStore, Recovery } from './stores/lease-store.ts'
import type { PostgresLeaseStore } from './stores/postgres-lease-store.ts'
import { retryTransient } from '../../database/retry-transient.ts'
import type { Database, TransactionOf } from '../../database/transaction.ts'

/** What a lease handler is called with. */
export interface LeaseCall<Tx, Context> {
  readonly request: Context
  /** 1 on the first attempt. From 2 on an earlier one may have taken effect, in part or in full. */
  readonly attempt: number
  /** What `saveRecovery` remembered last, of this or an earlier attempt. */
  readonly recovery: Recovery | null
  /** Aborts when the lease is lost: stop, another attempt may be running. Pass it to every foreign call. */
  readonly signal: AbortSignal
  /** A key for a foreign system: the same on every attempt, another for every step, and not traceable to the client's key. */
  readonly downstreamKey: (step: string) => string
  /** Remembers how far the work has come, before or after a foreign call. @throws IdempotencyError `LEASE_LOST` */
  readonly saveRecovery: (point: string, data?: unknown) => Promise<void>
  /**
   * Ends the attempt: runs `work` in a transaction that also stores the response it returns, and commits. Return what it
   * returns. Run again when PostgreSQL picks it as the victim of a conflict. Only with the PostgreSQL store.
   *
   * @throws IdempotencyError `LEASE_LOST` without running `work`, `COMMIT_UNKNOWN`, `INVALID_OPTION` with another store
   */
  readonly commit: (work: (tx: Tx) => Promise<HandlerResponse>) => Promise<HandlerResponse>
}

/** One attempt at the work of a key, from its claim to its end. */
export interface LeaseAttempt<Tx, Context> {
  readonly call: LeaseCall<Tx, Context>
  /** The response that `commit` has stored, if it has. */
  committed(): HttpResponse | undefined
  /** Stores a response without effects. @throws IdempotencyError `LEASE_LOST` */
  complete(response: HttpResponse, resourceRef: string | undefined): Promise<void>
  /** Ends the attempt without a response; false when the key was lost already. */
  release(state: 'retryable' | 'indeterminate'): Promise<boolean>
  /**
   * Lets the lease run out now, so that the next request or a completer goes on at once from what was saved. False when nothing
   * was saved, or the key was lost already.
   */
  abandon(): Promise<boolean>
  /** Stops the heartbeat. */
  end(): Promise<void>
}

/** A response that `commit` must not store: its transaction rolls back. */
class NotStored extends Error {
  readonly result: HandlerResponse
  constructor(result: HandlerResponse) {
    super('the response is not stored')
    this.result = result
  }
}

/** Effects and response in one commit. @throws NotStored after a rollback, IdempotencyError as `LeaseCall.commit` */
async function commitWith<Db extends Database>(
  settings: Settings,
  { store, postgres }: { readonly store: LeaseStore; readonly postgres: PostgresLeaseStore<Db> | undefined },
  held: LeasedKey,
  seal: ReturnType<typeof createResponseSealer>,
  work: (tx: TransactionOf<Db>) => Promise<HandlerResponse>,
): Promise<{ readonly result: HandlerResponse; readonly response: HttpResponse }> {
  if (postgres === undefined) throw noTransaction(store.name)
  let done: { readonly result: HandlerResponse; readonly response: HttpResponse } | undefined
  const stored = await retryTransient(() =>
    postgres.completeWith(held, settings, async ({ tx, sql }) => {
      const savepoint = createHandlerSavepoint(sql)
      await savepoint.take()
      const result = await work(tx)
      const response = encodeResponse(result)
      done = { result, response }
      const fate = fateOf(result)
      if (fate === 'undo') throw new NotStored(result)
      if (fate === 'store-and-undo') await savepoint.undo()
      return seal(held, response, result.resourceRef)
    }),
  )
  if (!stored || done === undefined) throw leaseLost()
  return done
}

export function startAttempt<Db extends Database, Context>(
  settings: Settings,
  stores: { readonly store: LeaseStore; readonly postgres: PostgresLeaseStore<Db> | undefined },
  claimed: Extract<LeaseClaimResult, { kind: 'claimed' }> & LeasedKey,
  leaseMs: number,
  context: Context,
): LeaseAttempt<TransactionOf<Db>, Context> {
  const { store } = stores
  const { tenant, keyHash, fence } = claimed
  const held: LeasedKey = { tenant, keyHash, fence }
  const seal = createResponseSealer(settings)
  const controller = new AbortController()
  const heartbeat: Heartbeat = startHeartbeat(
    () => store.renew(held, leaseMs),
    leaseMs,
    () => controller.abort(leaseLost()),
  )
  let committed: HttpResponse | undefined
  let hasRecovery = claimed.recovery !== null

  const call: LeaseCall<TransactionOf<Db>, Context> = {
    request: context,
    attempt: claimed.attempt,
    recovery: claimed.recovery,
    signal: controller.signal,
    downstreamKey: (step) => downstreamKey(keyHash, step),
    saveRecovery: async (point, data = null) => {
      if (!(await store.saveRecovery(held, { point, data }))) throw leaseLost()
      hasRecovery = true
    },
    commit: async (work) => {
      // The transaction locks the key's row, on which a renewal would wait; the lock holds off every take-over meanwhile.
      await heartbeat.pause()
      try {
        const done = await commitWith(settings, stores, held, seal, work)
        committed = done.response
        return done.result
      } catch (error) {
        heartbeat.resume()
        if (error instanceof NotStored) return error.result
        throw error
      }
    },
  }

  return {
    call,
    committed: () => committed,
    complete: async (response, resourceRef) => {
      if (!(await store.complete(held, seal(held, response, resourceRef), settings))) throw leaseLost()
    },
    release: (state) => store.release(held, state, settings),
    abandon: () => (hasRecovery ? store.renew(held, 0) : Promise.resolve(false)),
    end: () => heartbeat.pause(),
  }
}

function leaseLost(): IdempotencyError {
  return new IdempotencyError(
    'LEASE_LOST',
    'the lease on the key ran out and the key was taken over or put on hold: stop, and do nothing more for this attempt',
  )
}

function noTransaction(store: string): IdempotencyError {
  return new IdempotencyError(
    'INVALID_OPTION',
    `the store "${store}" cannot commit effects together with the response: return the response instead of calling commit()`,
  )
}
