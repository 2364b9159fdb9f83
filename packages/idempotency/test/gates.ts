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
  for (let asked = 0; asked < 500; asked++) {
    const { rows } = await pool.query(
      `select count(*)::int as waiting from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
    if (rows[0].waiting >= count) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`after 5 s still fewer than ${String(count)} backends wait for a lock`)
}
