import type { DeadLetterReason } from '../dead-letter-reason.ts'
import { OutboxError, PermanentFailure, UnknownTypeError } from '../errors.ts'
import type { ResolvedConsumerOptions } from './consumer-settings.ts'

/** What the handler's error says about its message. */
export type HandlerVerdict =
  | { readonly kind: 'outage' }
  | { readonly kind: 'unknown-type'; readonly inMs: number }
  /** The handler did not try it, because a message before it has failed. */
  | { readonly kind: 'not-tried'; readonly inMs: number }
  | { readonly kind: 'retryable'; readonly inMs: number }
  | { readonly kind: 'dead'; readonly reason: DeadLetterReason }

/** Pure: which failures come again, when, and which do not. What the handler says in so many words comes first. */
export function failureOf(
  error: unknown,
  attempt: number,
  options: Pick<ResolvedConsumerOptions, 'maxAttempts' | 'backoff' | 'unknownTypeRetryMs' | 'isOutage'>,
): HandlerVerdict {
  if (error instanceof PermanentFailure) return { kind: 'dead', reason: 'PERMANENT' }
  if (error instanceof UnknownTypeError) return { kind: 'unknown-type', inMs: options.unknownTypeRetryMs }
  if (error instanceof OutboxError && error.code === 'UNDECODABLE_MESSAGE')
    return { kind: 'dead', reason: 'UNDECODABLE' }
  if (isPredecessorFailed(error)) return { kind: 'not-tried', inMs: options.backoff(1) }
  if (options.isOutage(error)) return { kind: 'outage' }
  if (attempt >= options.maxAttempts) return { kind: 'dead', reason: 'MAX_ATTEMPTS' }
  return { kind: 'retryable', inMs: options.backoff(attempt) }
}

/** The inbox's batches say so; this package knows nothing of the inbox but the code. */
function isPredecessorFailed(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'PREDECESSOR_FAILED'
}
