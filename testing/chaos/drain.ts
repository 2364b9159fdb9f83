import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from './cluster.ts'
import { nowMs } from './journal.ts'

/** Between two questions to the broker: one of them takes a second of work to answer. */
const askBrokerEveryMs = 2_000

/** A run that still gets on after this many patiences goes on for ever. */
const patiences = 10

/**
 * Waits until the outbox is empty and everything sent has been applied. Gives up when nothing has got on for `patienceMs`, and at
 * once when nothing can: neither the outbox nor the broker has anything left.
 *
 * @returns messages left in the outbox
 */
export async function drained(cluster: Cluster, patienceMs: number): Promise<number> {
  const startedMs = nowMs()
  let [movedMs, askedMs, before] = [startedMs, startedMs, '']
  for (;;) {
    const { left, missing } = await openIn(cluster)
    const now = `${String(left)} ${String(missing)}`
    if (now !== before) [movedMs, before] = [nowMs(), now]
    const hasNothing = left === 0 && missing === 0
    if (hasNothing || nowMs() - movedMs > patienceMs || nowMs() - startedMs > patienceMs * patiences) return left
    if (left === 0 && nowMs() - Math.max(movedMs, askedMs) > askBrokerEveryMs) {
      askedMs = nowMs()
      // It may be on its way up: then it is asked again.
      const held = await cluster.broker.unacknowledged().catch(() => null)
      if (held === 0 && `0 ${String((await openIn(cluster)).missing)}` === before) return 0
    }
    await sleep(100)
  }
}

interface Open {
  readonly left: number
  readonly missing: number
}

async function openIn({ pool }: Cluster): Promise<Open> {
  const { rows } = await pool.query<Open>(`
    select (select count(*)::integer from malote.messages) as left,
      (select count(*)::integer from chaos.ledger as line where not exists (select from chaos.effects where effects.id = line.id)
        and not exists (select from malote.dead_letters as dead where dead.id = line.id)) as missing`)
  return rows[0] ?? { left: 0, missing: 0 }
}
