import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from './cluster.ts'
import { nowMs } from './journal.ts'
import { curableType } from './roles/curing-publisher.ts'

/** Between two questions to the broker: one of them takes a second of work to answer. */
const askBrokerEveryMs = 2_000

/** A run that still gets on after this many patiences goes on for ever. */
const patiences = 10

export interface Drain {
  /** Messages left in the outbox. */
  readonly left: number
  /** Why the wait was over, in words that follow "when". */
  readonly ended: string
}

/**
 * Waits until the outbox is empty and everything sent has been applied. Gives up when nothing has got on for `patienceMs`, and at
 * once when nothing can: neither the outbox nor the broker has anything left.
 */
export async function drain(cluster: Cluster, patienceMs: number): Promise<Drain> {
  const startedMs = nowMs()
  const limitMs = patienceMs * patiences
  let [movedMs, askedMs, before] = [startedMs, startedMs, '']
  for (;;) {
    const { left, missing } = await openIn(cluster)
    const now = `${String(left)} ${String(missing)}`
    if (now !== before) [movedMs, before] = [nowMs(), now]
    if (left === 0 && missing === 0 && (await areRefusedAway(cluster))) return { left, ended: 'everything was through' }
    if (nowMs() - movedMs > patienceMs) return { left, ended: `nothing had got on for ${ms(patienceMs)}` }
    if (nowMs() - startedMs > limitMs)
      return { left, ended: `it still got on after ${ms(limitMs)}, the most it is given` }
    if (left === 0 && nowMs() - Math.max(movedMs, askedMs) > askBrokerEveryMs) {
      askedMs = nowMs()
      // It may be on its way up: then it is asked again.
      const held = await cluster.broker.unacknowledged().catch(() => null)
      if (held === 0 && `0 ${String((await openIn(cluster)).missing)}` === before)
        return { left, ended: 'neither the outbox nor the broker had anything left' }
    }
    await sleep(100)
  }
}

/** Whether the place for dead letters has all that no consumer can handle. */
async function areRefusedAway({ pool, broker }: Cluster): Promise<boolean> {
  const { rows } = await pool.query<{ n: number }>('select count(*)::integer as n from chaos.ledger where refused')
  const refused = rows[0]?.n ?? 0
  return refused === 0 || (await broker.deadLetters().catch(() => 0)) >= refused
}

const ms = (duration: number): string => `${String(Math.round(duration))} ms`

interface Open {
  readonly left: number
  readonly missing: number
}

async function openIn({ pool }: Cluster): Promise<Open> {
  const { rows } = await pool.query<Open>(
    `
    select (select count(*)::integer from malote.messages) as left,
      (select count(*)::integer from chaos.ledger as line where not line.refused and not exists (select from chaos.effects where effects.id = line.id)
        and not exists (select from malote.dead_letters as dead where dead.id = line.id and dead.type <> $1)) as missing`,
    [curableType],
  )
  return rows[0] ?? { left: 0, missing: 0 }
}
