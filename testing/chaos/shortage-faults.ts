import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Fault } from '../history/history.ts'
import type { FaultLog, Harm, Hollow } from './fault-log.ts'
import type { Entry } from './journal.ts'

type ShortageFault = 'exhaust-pool' | 'exhaust-connections' | 'broker-disk-full'

const terminate = 'select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1'

/** What is there is not enough for everybody. */
export function shortageFaults(log: FaultLog): Record<ShortageFault, Harm> {
  const { cluster } = log
  return {
    // Its own connections end at the same time: it needs others, and stands behind whoever holds them.
    'exhaust-pool': (fault) =>
      log.onProcess('relay', fault, async ({ process }) => {
        process?.send({ type: 'hold-pool', forMs: fault.forMs * 2 })
        await sleep(50)
        await cluster.pool.query(terminate, [process?.name]).catch(() => {}) // The server may be down itself.
        await sleep(fault.forMs * 2)
      }),
    'exhaust-connections': (fault) =>
      log.onServer('postgres', fault, async () => {
        const taken = await takeAll(cluster.postgres.url)
        const relays = cluster.of('relay').flatMap(({ process }) => process?.name ?? [])
        const victim = relays[fault.target % Math.max(1, relays.length)]
        // From one of those that are taken: there is no other way in.
        await taken.clients[0]?.query(terminate, [victim]).catch(() => {})
        const more = await takeAll(cluster.postgres.url) // What has become free, before the victim comes back.
        await sleep(fault.forMs)
        await Promise.all([...taken.clients, ...more.clients].map((client) => client.end().catch(() => {})))
        return taken.isFull ? undefined : `the server still took connections, or was down`
      }),
    'broker-disk-full': (fault) => log.onServer('broker', fault, () => fullDisk(log, fault.forMs * 2)),
  }
}

/** Of a pool of six. What the relay held and kept is not among them. */
const heldAtLeast = 4

/** Relays whose pools were not taken from them after all. Of one that was killed meanwhile nobody can say. */
export function poolsNotHeld(
  faults: readonly Fault[],
  journals: ReadonlyMap<string, readonly Entry[]>,
): readonly string[] {
  return faults.flatMap(({ kind, relay, startedAtMs, endedAtMs }) => {
    if (kind !== 'exhaust-pool' || relay === null) return []
    const entries = journals.get(relay) ?? []
    const held = entries.flatMap((entry) =>
      entry.what === 'pool-held' && entry.atMs > startedAtMs && entry.atMs < endedAtMs + 1_000 ? [entry.held] : [],
    )
    const isHollow = held.length > 0 && Math.max(...held) < heldAtLeast
    return isHollow ? [`exhaust-pool of ${relay}: ${String(Math.max(...held))} connections were held`] : []
  })
}

async function fullDisk({ cluster: { broker } }: FaultLog, forMs: number): Promise<Hollow> {
  if (broker.fillDisk === undefined) return 'this broker has no disk that can be filled'
  return (await broker.fillDisk(forMs)) ? undefined : 'it took no notice of it'
}

interface Taken {
  readonly clients: readonly pg.Client[]
  /** Whether the server said that it has no more. */
  readonly isFull: boolean
}

/** Connects until the server has no more. */
async function takeAll(url: string): Promise<Taken> {
  const clients: pg.Client[] = []
  const mostAtOnce = 20
  for (;;) {
    const answers = await Promise.all(Array.from({ length: mostAtOnce }, () => take(url)))
    clients.push(...answers.flatMap((answer) => (answer instanceof pg.Client ? [answer] : [])))
    if (answers.some((answer) => answer === tooMany)) return { clients, isFull: true }
    if (answers.some((answer) => answer === null)) return { clients, isFull: false }
  }
}

/** SQLSTATE of a server whose connections are all taken. */
const tooMany = '53300'

async function take(url: string): Promise<pg.Client | typeof tooMany | null> {
  const client = new pg.Client({ connectionString: url, application_name: 'hoarder', connectionTimeoutMillis: 5_000 })
  client.on('error', () => {}) // The server is restarted meanwhile.
  try {
    await client.connect()
    return client
  } catch (error) {
    return (error as { code?: unknown }).code === tooMany ? tooMany : null
  }
}
