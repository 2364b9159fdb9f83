import { type Backoff, soundBackoff } from '../backoff.ts'
import type { ConsumerStore } from '../consumer-store.ts'
import type { ConsumerEvent, ConsumerOptions } from '../consumer.ts'
import { isOutage } from '../is-outage.ts'
import { invalidOption, numberOption } from '../options.ts'
import { warnOfTrouble } from '../warn-of-trouble.ts'
import { reportTo } from './report.ts'

/** The shared consumer options with defaults filled in and checked. */
export interface ResolvedConsumerOptions {
  readonly handler: ConsumerOptions['handler']
  readonly concurrency: number
  readonly maxAttempts: number
  readonly backoff: Backoff
  readonly unknownTypeRetryMs: number
  readonly isOutage: (error: unknown) => boolean
  readonly pauseAfterOutages: number
  readonly pauseAfterFailures: number
  readonly store: ConsumerStore | null
  /** `afterDeadLetter: 'hold'` */
  readonly holds: boolean
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
    isOutage: soundIsOutage(options.isOutage),
    pauseAfterOutages: numberOption('pauseAfterOutages', options.pauseAfterOutages, 5, { min: 1 }),
    pauseAfterFailures: countOrNever('pauseAfterFailures', options.pauseAfterFailures, 20),
    store: options.store ?? null,
    holds: holdsOption(options),
    report: reportTo(options.onEvent ?? warnOfTrouble()),
  }
}

function holdsOption({ afterDeadLetter = 'skip', store }: ConsumerOptions): boolean {
  if (afterDeadLetter !== 'skip' && afterDeadLetter !== 'hold')
    throw invalidOption('afterDeadLetter', afterDeadLetter, '"skip" or "hold"')
  if (afterDeadLetter === 'hold' && store === undefined)
    throw invalidOption('afterDeadLetter', afterDeadLetter, '"skip" unless there is a "store", where held streams wait')
  return afterDeadLetter === 'hold'
}

function countOrNever(name: string, value: number | undefined, fallback: number): number {
  return value === Number.POSITIVE_INFINITY ? value : numberOption(name, value, fallback, { min: 2 })
}

/** The default answers where the caller's function throws: its mistake must not spend attempts. */
function soundIsOutage(judge: ConsumerOptions['isOutage']): (error: unknown) => boolean {
  if (judge === undefined) return isOutage
  const warn = reportTo<unknown>((error) => {
    throw error
  })
  return (error) => {
    try {
      return judge(error)
    } catch (mistake) {
      warn(mistake)
      return isOutage(error)
    }
  }
}
