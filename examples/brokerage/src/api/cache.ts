import { createHash } from 'node:crypto'
import { log } from '../process/log.ts'

/** Answers that are dear to make and may be a few seconds old, kept for all processes of the API. */
export interface Cache {
  /**
   * What was kept under `key`, else what `make` makes, which is then kept. A cache that fails keeps nothing and stops nobody.
   *
   * @param make - its result must survive JSON
   */
  get(key: string, make: () => Promise<unknown>): Promise<{ readonly value: unknown; readonly isKept: boolean }>
  /** The next `get` makes it anew. */
  forget(key: string): Promise<void>
  close(): Promise<void>
}

/** Longest life of an answer, in milliseconds: as old as nobody minds who looks at a day's volume. */
const keptForMs = 5_000
/** Longest wait for the cache, in milliseconds. What takes longer is better read from the database. */
const patienceMs = 250

/** For those who have none: makes everything anew. */
export const noCache: Cache = {
  get: async (_key, make) => ({ value: await make(), isKept: false }),
  forget: async () => {},
  close: async () => {},
}

/**
 * A cache in Redis. A role must be able to start, and to answer, while Redis is away.
 *
 * @param database - what the answers are made from: brokerages that share a Redis must not read each other's
 */
export async function createRedisCache(url: string, database: string): Promise<Cache> {
  // Only whoever has a cache loads its client.
  const { createClient } = await import('redis')
  const client = createClient({ url, disableOfflineQueue: true })
  client.on('error', () => {}) // Each command says so itself, and the client connects again.
  client.connect().catch(() => {}) // It goes on trying.
  const prefix = `brokerage:${createHash('sha256').update(database).digest('hex').slice(0, 16)}:`

  return {
    get: async (key, make) => {
      const kept = await inTime(async () => JSON.parse((await client.get(prefix + key)) ?? 'null') as unknown)
      if (kept !== null) return { value: kept, isKept: true }
      const value = await make()
      const expiration = { type: 'PX', value: keptForMs } as const
      await inTime(() => client.set(prefix + key, JSON.stringify(value), { expiration }))
      return { value, isKept: false }
    },
    forget: async (key) => {
      await inTime(() => client.del(prefix + key))
    },
    close: async () => client.destroy(),
  }
}

/** @returns null when the cache fails, or is not done in time */
async function inTime<Result>(ask: () => Promise<Result>): Promise<Result | null> {
  const late = Promise.withResolvers<null>()
  const timer = setTimeout(() => late.resolve(null), patienceMs)
  const asked = ask().catch((err: unknown) => {
    // Each request would say so while Redis is away.
    log.debug({ err }, 'the cache has failed')
    return null
  })
  try {
    return await Promise.race([asked, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
