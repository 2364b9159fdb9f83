import { sqlStateOf } from '@malote/outbox-core/postgres'
import { isEndedByHandler } from '../errors.ts'
import { pause } from '../clock.ts'

/** Whether running the transaction again from the start may succeed: serialization failure or deadlock. */
export function isTransient(error: unknown): boolean {
  // What a handler has committed by itself stays, whatever conflict it threw afterwards.
  if (isEndedByHandler(error)) return false
  const state = sqlStateOf(error)
  return state === '40001' || state === '40P01'
}

/**
 * Runs `work` again from the start, in a new transaction, when PostgreSQL picked it as the victim of a conflict. Up to
 * five attempts with full jitter; `work` must have no effect outside its transaction.
 */
export async function retryTransient<Result>(work: () => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (!isTransient(error) || attempt >= 5) throw error
      await pause(Math.random() * 10 * 2 ** attempt)
    }
  }
}
