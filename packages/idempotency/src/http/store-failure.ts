import { isCommitUnknown, isTimeout } from '../errors.ts'
import type { HttpResponse } from './http.ts'
import type { Settings } from './options.ts'
import { isUnavailable } from '../database/unavailable.ts'

/**
 * The 503 for a request that could not be protected, or undefined when the error is the application's own. Fails closed:
 * a request is never run without its protection because the store is down.
 */
export function failureResponse(settings: Settings, error: unknown): HttpResponse | undefined {
  if (isCommitUnknown(error)) {
    const detail =
      'The connection to the database was lost at the last moment. Retry with the same key to learn the outcome.'
    return settings.problem('commit-unknown', { detail, retryAfterSeconds: 1 })
  }
  if (isTimeout(error)) {
    const detail = 'Nothing was done. Retry with the same key.'
    return settings.problem('timed-out', { detail, retryAfterSeconds: 1 })
  }
  if (!isUnavailable(error)) return undefined
  return settings.problem('store-unavailable', {
    detail: 'Nothing was done. Retry with the same key.',
    retryAfterSeconds: 5,
  })
}
