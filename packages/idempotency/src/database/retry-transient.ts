import { sqlStateOf } from '@malote/outbox-core/postgres'
import { isEndedByHandler } from '../errors.ts'
import { retry } from '../retry.ts'

/** Whether running the transaction again from the start may succeed: serialization failure or deadlock. */
export function isTransient(error: unknown): boolean {
  // What a handler has committed by itself stays, whatever conflict it threw afterwards.
  if (isEndedByHandler(error)) return false
  const state = sqlStateOf(error)
  return state === '40001' || state === '40P01'
}

/**
 * Runs `work` again from the start, in a new transaction, when PostgreSQL picked it as the victim of a conflict: up to five times; `work` must
 * have no effect outside its transaction.
 */
export function retryTransient<Result>(work: () => Promise<Result>): Promise<Result> {
  return retry(work, isTransient, { firstMs: 20, pauses: 4 })
}
