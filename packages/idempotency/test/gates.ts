import { eventually } from '@malote/outbox-core/testing'
import type pg from 'pg'

/** A point in an interleaving: some wait for it, one opens it. */
export interface Gate {
  readonly passed: Promise<void>
  readonly open: () => void
}

export function gate(): Gate {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { passed: promise, open: () => resolve() }
}

/** Resolves once `count` backends of this database wait for a lock: PostgreSQL tells no one, so it has to be asked. */
export async function isWaiting(pool: pg.Pool, count = 1): Promise<void> {
  await eventually(
    async () => {
      const waiting = await countWaiting(pool)
      if (waiting < count) throw new Error(`${String(waiting)} of ${String(count)} backends wait for a lock`)
    },
    { intervalMs: 10 },
  )
}

/**
 * Resolves to what `work` does, and rejects as soon as a backend of this database waits for a lock instead: for work that
 * must be answered at once while somebody else holds what it wants. Without it such a test would wait for itself.
 */
export async function withoutWaiting<Result>(pool: pg.Pool, work: Promise<Result>): Promise<Result> {
  const ended = new AbortController()
  const done = work.finally(() => ended.abort())
  const waited = async (): Promise<never> => {
    while (!ended.signal.aborted) {
      if ((await countWaiting(pool)) > 0) throw new Error('it waits for a lock that somebody else holds')
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    return done as Promise<never>
  }
  return Promise.race([done, waited()])
}

/** PostgreSQL's own workers, and who lets a table grow, wait for nobody's transaction. */
async function countWaiting(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query(
    `select count(*)::int as waiting from pg_stat_activity where datname = current_database()
      and backend_type = 'client backend' and wait_event_type = 'Lock' and wait_event <> 'extend'`,
  )
  return rows[0].waiting as number
}
