import { setTimeout as sleep } from 'node:timers/promises'
import type { CutOffClaim } from '../history/history.ts'
import type { Cluster } from './cluster.ts'
import { nowMs } from './journal.ts'
import { cutOff } from './library.ts'
import { scaled } from '../slowness.ts'
import type { Variant } from './roles/role.ts'

/** An operator who asks again and again for everything from before now, whatever is being done to the others. */
export interface CutOffs {
  /** @returns what was claimed, when the one under way has answered */
  end(): Promise<readonly CutOffClaim[]>
}

/** Between the answer to one and the next, in milliseconds. */
const pauseMs = 150

export function startCutOffs({ pool }: Pick<Cluster, 'pool'>, variant: Variant): CutOffs {
  const claims: CutOffClaim[] = []
  const db = variant === 'cut-off-forgets-writers' ? forgetsWriters(pool) : pool
  const over = new AbortController()
  const work = (async () => {
    while (!over.signal.aborted) {
      const askedAtMs = nowMs()
      try {
        const { isComplete, left } = await cutOff(db, { timeoutMs: scaled(10_000) })
        const named = (...states: readonly string[]): number =>
          left.reduce((sum, { state, messages }) => sum + (states.includes(state) ? messages : 0), 0)
        const [dead, stopped] = [named('dead'), named('held', 'paused')]
        claims.push({ askedAtMs, answeredAtMs: nowMs(), isComplete, dead, stopped })
      } catch {
        // The database is down: nothing is claimed.
      }
      await sleep(pauseMs)
    }
  })()
  return {
    end: async () => {
      over.abort()
      await work
      return claims
    },
  }
}

/** Sees nobody in a transaction. */
const forgetsWriters = (pool: Cluster['pool']): Parameters<typeof cutOff>[0] => ({
  query: async (text: string, values?: readonly unknown[]) => {
    const { rows } = await pool.query(text, values === undefined ? undefined : [...values])
    return { rows: text.includes('virtualxid') ? rows.map((row) => ({ ...row, open: [] })) : rows }
  },
})
