import { type Clock, systemClock } from '../clock.ts'

/** Resolves when the work ends, however it does, or after `ms` without it. Leaves no timer behind. */
export async function within(ms: number, work: Promise<unknown>, clock: Clock = systemClock): Promise<void> {
  const ended = new AbortController()
  const settled = work.then(
    () => ended.abort(),
    () => ended.abort(),
  )
  await Promise.race([settled, clock.sleep(ms, ended.signal)])
}
