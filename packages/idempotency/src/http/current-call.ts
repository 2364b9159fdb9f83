import { AsyncLocalStorage } from 'node:async_hooks'
import { IdempotencyError } from '../errors.ts'

/** What a handler that runs was called with, as far as code finds it without being handed it. */
export interface CurrentCall<Tx> {
  readonly tx: Tx
  /** Aborts when the request has run out of time. */
  readonly signal: AbortSignal
}

/** The call of the handler that is running, in its asynchronous context. */
export interface CurrentCalls<Tx> {
  /** The same handler, with its call as the current one until it settles. */
  during<Call extends CurrentCall<Tx>, Result>(
    handler: (call: Call) => Promise<Result>,
  ): (call: Call) => Promise<Result>
  readonly get: () => CurrentCall<Tx> | undefined
}

/**
 * What a handler starts and does not wait for keeps its place in the asynchronous context when the request is over, while
 * the connection serves the next one: from then on there is no current call.
 */
export function createCurrentCall<Tx>(): CurrentCalls<Tx> {
  const storage = new AsyncLocalStorage<{ readonly call: CurrentCall<Tx>; isOver: boolean }>()
  return {
    during: (handler) => async (call) => {
      const running = { call, isOver: false }
      try {
        return await storage.run(running, () => handler(call))
      } finally {
        running.isOver = true
      }
    },
    get: () => {
      const running = storage.getStore()
      return running === undefined || running.isOver || running.call.signal.aborted ? undefined : running.call
    },
  }
}

/** @throws IdempotencyError `NOT_A_TRANSACTION` when there is no call */
export function transactionOf<Tx>(call: CurrentCall<Tx> | undefined): Tx {
  if (call !== undefined) return call.tx
  throw new IdempotencyError(
    'NOT_A_TRANSACTION',
    'no idempotent request is running here: call this inside its handler, await what it does there, and mind its "timeoutMs"',
  )
}
