import { type Queryable, sqlStateOf } from '@malote/outbox-core/postgres'
import { isCommitUnknown, isTimeout, timedOut } from '../../errors.ts'
import type { HandlerResponse, HttpResponse } from '../http.ts'
import type { Settings } from '../options.ts'
import type { Ending } from '../ending.ts'
import { noEffect } from '../refusals.ts'
import { encodeResponse, fateOf, type ResponseFate } from '../response.ts'
import { failureResponse } from '../store-failure.ts'
import { isTransient } from '../../database/retry-transient.ts'
import { touch } from '../../database/statement.ts'
import { after } from '../../clock.ts'

/** The time the handlers of one transaction have together. */
export interface Deadline {
  /** Aborts when the time has passed. */
  readonly signal: AbortSignal
  /** @throws IdempotencyError `TIMED_OUT` when `work` has not settled in time; what it still does is for nothing */
  within<Result>(work: Promise<Result>): Promise<Result>
  /** Nobody waits any more. */
  end(): void
}

export function startDeadline(timeoutMs: number): Deadline {
  const controller = new AbortController()
  const tooLate = Promise.withResolvers<never>()
  tooLate.promise.catch(() => {}) // It may come while nobody waits: between two handlers of a batch.
  const end = after(timeoutMs, () => {
    const error = timedOut(timeoutMs)
    controller.abort(error)
    tooLate.reject(error)
  })
  return {
    signal: controller.signal,
    within: (work) => Promise.race([work, tooLate.promise]),
    end,
  }
}

/** What a handler returned for one request, encoded. */
export interface HandlerResult {
  readonly response: HttpResponse
  readonly fate: ResponseFate
  readonly resourceRef: string | undefined
}

/** @throws IdempotencyError `INVALID_RESPONSE` */
export function toResult(returned: HandlerResponse): HandlerResult {
  return { response: encodeResponse(returned), fate: fateOf(returned), resourceRef: returned.resourceRef }
}

/** Ends a request with a response, and its transaction with a rollback. */
export class Undo extends Error {
  readonly ending: Ending
  constructor(ending: Ending) {
    super('the transaction is rolled back, its response is sent all the same')
    this.ending = ending
  }
}

/** Ends a transaction without a savepoint with a rollback: the response is stored in one of its own. */
export class UndoneOutside extends Error {
  readonly result: HandlerResult
  constructor(result: HandlerResult) {
    super('the transaction is rolled back, its response is stored in another one')
    this.result = result
  }
}

/** A failure of the handler that looks like one of the store's, a foreign system that refuses connections for example. */
export class HandlerFailed extends Error {
  constructor(cause: unknown) {
    super('the handler failed, and the transaction is still there', { cause })
  }
}

/** Tells a handler's own network errors from those of the transaction it was given: that one still answers. @throws always */
export async function blame(settings: Settings, sql: Queryable, error: unknown): Promise<never> {
  if (isTimeout(error) || failureResponse(settings, error) === undefined) throw error
  const isAlive = await touch(sql).then(
    () => true,
    (refusal: unknown) => sqlStateOf(refusal) === '25P02', // A statement of the handler has failed: that is an answer.
  )
  throw isAlive ? new HandlerFailed(error) : error
}

/**
 * What a failed transaction has to say, if it is not the application's own error.
 *
 * @param hasNoEffect - whether nothing but a response was to be stored: then its COMMIT may have failed or not
 * @throws the application's error
 */
export function endingOf(settings: Settings, error: unknown, hasNoEffect = false): Ending {
  if (error instanceof Undo) return error.ending
  if (error instanceof HandlerFailed) throw error.cause
  if (isTransient(error) || (hasNoEffect && isCommitUnknown(error)))
    return { outcome: 'rolled-back', response: noEffect(settings), error }
  const response = failureResponse(settings, error)
  if (response === undefined) throw error
  return { outcome: isTimeout(error) ? 'rolled-back' : 'unavailable', response, error }
}
