import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'

/**
 * Takes every connection of the pool that becomes free, as an application does that shares its pool with a relay and leaks. One
 * that is ended meanwhile is taken anew.
 *
 * @returns the most that were held at a time
 */
export async function holdPool(pool: pg.Pool, forMs: number): Promise<number> {
  const over = new AbortController()
  let [now, most] = [0, 0]
  const hold = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const client = await pool.connect().catch(() => null)
      if (client === null) {
        await sleep(20) // Refused, as when the server is full: again.
        continue
      }
      most = Math.max(most, ++now)
      const broken = new Promise<boolean>((resolve) => client.once('error', () => resolve(true)))
      const ended = new Promise<boolean>((resolve) => over.signal.addEventListener('abort', () => resolve(false)))
      const isBroken = over.signal.aborted ? false : await Promise.race([broken, ended])
      now--
      client.release(isBroken)
    }
  }
  const holders = Array.from({ length: pool.options.max }, hold)
  await sleep(forMs)
  over.abort()
  await Promise.all(holders)
  return most
}
