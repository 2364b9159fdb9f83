import { soundBackoff } from '../backoff.ts'
import type { ConsumerEvent, ConsumerOptions, DeadLetterReason, Delivery, ReceivedMessage } from '../consumer.ts'
import { OutboxError, PermanentFailure, UnknownTypeError } from '../errors.ts'
import { numberOption } from '../options.ts'
import { reportTo } from './report.ts'

/** What to tell the broker after a handler ended. */
export type DeliveryOutcome =
  | { readonly action: 'acknowledge' }
  /**
   * `spendsAttempt` is false for a type nobody knows yet, which may wait for a deployment as long as it must, and for a handler
   * that failed after its signal aborted: it was stopped, and no verdict on the message.
   */
  | { readonly action: 'retry'; readonly inMs: number; readonly spendsAttempt: boolean; readonly error: unknown }
  | { readonly action: 'dead-letter'; readonly reason: DeadLetterReason; readonly error: unknown }

/** The shared consumer options with defaults filled in and checked. */
export interface ResolvedConsumerOptions {
  readonly handler: ConsumerOptions['handler']
  readonly concurrency: number
  readonly maxAttempts: number
  readonly backoff: (attempt: number) => number
  readonly unknownTypeRetryMs: number
  readonly report: (event: ConsumerEvent) => void
}

/** @throws OutboxError `INVALID_OPTION` */
export function resolveConsumerOptions(options: ConsumerOptions): ResolvedConsumerOptions {
  return {
    handler: options.handler,
    concurrency: numberOption('concurrency', options.concurrency, 10, { min: 1, max: 10_000 }),
    maxAttempts: numberOption('maxAttempts', options.maxAttempts, 5, { min: 1 }),
    backoff: soundBackoff(options.backoff),
    unknownTypeRetryMs: numberOption('unknownTypeRetryMs', options.unknownTypeRetryMs, 30_000, { min: 0 }),
    report: reportTo(options.onEvent),
  }
}

/** Calls the handler once, reports what happened, and says what to do with the message. Never rejects. */
export async function deliver(options: ResolvedConsumerOptions, delivery: Delivery): Promise<DeliveryOutcome> {
  const { message, attempt } = delivery
  const startedMs = performance.now()
  try {
    await options.handler(delivery)
    options.report({
      type: 'message.handled',
      id: message.id,
      messageType: message.type,
      attempt,
      ms: performance.now() - startedMs,
    })
    return { action: 'acknowledge' }
  } catch (error) {
    if (delivery.signal.aborted) return { action: 'retry', inMs: 0, spendsAttempt: false, error }
    const outcome = outcomeOf(error, attempt, options)
    reportFailure(options.report, message, attempt, outcome)
    return outcome
  }
}

/** Pure: which failures come again, when, and which do not. */
export function outcomeOf(
  error: unknown,
  attempt: number,
  options: Pick<ResolvedConsumerOptions, 'maxAttempts' | 'backoff' | 'unknownTypeRetryMs'>,
): Exclude<DeliveryOutcome, { action: 'acknowledge' }> {
  if (error instanceof PermanentFailure) return { action: 'dead-letter', reason: 'PERMANENT', error }
  if (error instanceof UnknownTypeError)
    return { action: 'retry', inMs: options.unknownTypeRetryMs, spendsAttempt: false, error }
  if (error instanceof OutboxError && error.code === 'UNDECODABLE_MESSAGE')
    return { action: 'dead-letter', reason: 'UNDECODABLE', error }
  if (attempt >= options.maxAttempts) return { action: 'dead-letter', reason: 'MAX_ATTEMPTS', error }
  return { action: 'retry', inMs: options.backoff(attempt), spendsAttempt: true, error }
}

function reportFailure(
  report: (event: ConsumerEvent) => void,
  message: ReceivedMessage,
  attempt: number,
  outcome: Exclude<DeliveryOutcome, { action: 'acknowledge' }>,
): void {
  const { id, type: messageType } = message
  if (outcome.action === 'dead-letter') {
    report({ type: 'message.dead-lettered', id, messageType, attempt, reason: outcome.reason, error: outcome.error })
  } else if (outcome.spendsAttempt) {
    report({ type: 'message.failed', id, messageType, attempt, error: outcome.error, retryInMs: outcome.inMs })
  } else {
    report({ type: 'message.unknown-type', id, messageType, retryInMs: outcome.inMs })
  }
}
