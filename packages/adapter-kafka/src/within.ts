import type { Clock } from '@malote/outbox-core/adapter'

/** Resolves when the work ends, however it does, or after `ms` without it. */
export async function within(ms: number, work: Promise<unknown>, clock: Clock): Promise<void> {
  const ended = new AbortController()
  const settled = work.then(
    () => ended.abort(),
    () => ended.abort(),
  )
  await Promise.race([settled, clock.sleep(ms, ended.signal)])
}
