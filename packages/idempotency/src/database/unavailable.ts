import { sqlStateOf } from '@malote/outbox-core/postgres'
import { IdempotencyError } from '../errors.ts'

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
