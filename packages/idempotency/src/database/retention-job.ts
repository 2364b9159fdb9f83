import { reportTo } from '@malote/outbox-core/adapter'
import { wholeNumberOption } from '../errors.ts'
import { inBackgroundAfter, pause } from '../clock.ts'

/** How often a regular job of `startRetention` runs, and who is told of a run that failed. */
export interface RetentionJobOptions {
  /** Pause between two runs, in milliseconds. @defaultValue 3_600_000: hourly */
  readonly everyMs?: number
  /** Told of every run that failed; the next one is tried all the same, whatever this throws. @defaultValue `process.emitWarning` */
  readonly onError?: (error: unknown) => void
}

/** A regular job that `startRetention` began. Stop it before the pool it works on is ended. */
export interface RetentionJob {
  /** Runs no more; resolves when a run that is under way has ended. */
  stop(): Promise<void>
}

/**
 * Runs purges, or a completer, now and then regularly, never two at a time, and without keeping the process alive. Every replica may have
 * one. For those who have no scheduler; with one, call `purge()` and `maintainInbox()` from it.
 *
 * @throws IdempotencyError `INVALID_OPTION`
 */
export function startRetention(work: () => Promise<unknown>, options: RetentionJobOptions = {}): RetentionJob {
  const everyMs = wholeNumberOption('everyMs', options.everyMs, 3_600_000, { min: 10, max: 2_147_483_647 })
  const warn = (error: unknown): void => process.emitWarning(`malote: a regular run failed: ${String(error)}`)
  const report = reportTo(options.onError ?? warn)
  let stopped = false
  let cancel = (): void => {}
  let running: Promise<void>

  async function run(): Promise<void> {
    await pause(0)
    await work().catch(report)
    if (stopped) return
    cancel = inBackgroundAfter(everyMs, () => {
      running = run()
    })
  }

  running = run()
  return {
    stop: async () => {
      stopped = true
      cancel()
      await running
    },
  }
}
