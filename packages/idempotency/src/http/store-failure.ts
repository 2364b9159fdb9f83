import { sqlStateOf } from '@malote/outbox-core/postgres'
import { IdempotencyError } from '../errors.ts'
import type { HttpResponse } from './http.ts'
import type { Settings } from './options.ts'
import type { Database } from '../database/transaction.ts'

const networkCodes: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ETIMEDOUT',
  'EPIPE',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'EAI_AGAIN',
])
// pg has no codes for these.
const pgConnectionMessages =
  /Connection terminated|timeout exceeded when trying to connect|not queryable|Client was closed/

/**
 * The 503 for a request that could not be protected, or undefined when the error is the application's own. Fails closed:
 * a request is never run without its protection because the store is down.
 */
export function failureResponse<Db extends Database, Context>(
  settings: Settings<Db, Context>,
  error: unknown,
): HttpResponse | undefined {
  if (error instanceof IdempotencyError && error.code === 'COMMIT_UNKNOWN') {
    const detail =
      'The connection to the database was lost at the last moment. Retry with the same key to learn the outcome.'
    return settings.problem('commit-unknown', { detail, retryAfterSeconds: 1 })
  }
  if (error instanceof IdempotencyError && error.code === 'TIMED_OUT') {
    const detail = 'Nothing was done. Retry with the same key.'
    return settings.problem('timed-out', { detail, retryAfterSeconds: 1 })
  }
  if (!isUnavailable(error)) return undefined
  return settings.problem('store-unavailable', {
    detail: 'Nothing was done. Retry with the same key.',
    retryAfterSeconds: 5,
  })
}

/** Whether the error says that the database could not be reached, or went away. */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof IdempotencyError) return error.code === 'STORE_UNAVAILABLE'
  const state = sqlStateOf(error)
  if (state !== undefined && /^(08|53|57P|25P03|25P04)/.test(state)) return true
  if (typeof error !== 'object' || error === null) return false
  if ('code' in error && networkCodes.has(error.code)) return true
  if (error instanceof AggregateError) return error.errors.some(isUnavailable)
  return error instanceof Error && (error.name === 'TimeoutError' || pgConnectionMessages.test(error.message))
}
