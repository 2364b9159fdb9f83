import { systemClock } from '@malote/outbox-core/adapter'

/** Waits for the work, but no longer than `ms`; a timer that lost the race must not keep the process from ending. */
export async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const done = new AbortController()
  await Promise.race([work, systemClock.sleep(ms, done.signal)]).finally(() => done.abort())
}
