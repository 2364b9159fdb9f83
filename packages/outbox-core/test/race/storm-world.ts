import type { OutboxMessage, Publisher, PublishResult, RelayOptions } from '../../src/index.ts'
import { createOutbox, streamOf } from '../../src/index.ts'
import type { RelayBench } from '../relay-bench.ts'
import { mulberry32 } from '../relay/floor-model.ts'

/** Writers, one broker that several relays share, and what was seen. */
export interface StormWorld {
  readonly random: () => number
  /** Fails and rejects now and then when told to. */
  publisher(options?: { readonly failEach?: number; readonly rejectEach?: number }): Publisher
  /** Commits until told to stop, and at least 200 messages: several keys in a transaction, each key's row locked first. */
  startWriters(count: number, keys: number): { stop(): Promise<void> }
  readonly delivered: number
  findings(): Findings
}

export interface Findings {
  readonly lost: readonly string[]
  /** First occurrences of one key out of order. */
  readonly inversions: readonly string[]
  readonly duplicates: number
  /** Batches of one key under way at the same time in two publishers. */
  readonly overlaps: readonly string[]
}

export async function createStormWorld(bench: RelayBench, seed: number): Promise<StormWorld> {
  await bench.pool.query('create table if not exists accounts (key text primary key, version integer not null)')
  await bench.pool.query('truncate accounts; grant all on accounts to public')
  const random = mulberry32(seed)
  const committed = new Map<string, string>()
  const seen = new Map<string, number>()
  const lastOfKey = new Map<string, number>()
  const inversions: string[] = []
  const overlaps: string[] = []
  const underWay = new Set<string>()
  let delivered = 0

  function accept(message: OutboxMessage): void {
    delivered++
    const count = (seen.get(message.id) ?? 0) + 1
    seen.set(message.id, count)
    if (count > 1 || message.orderingKey === null) return
    const { version } = JSON.parse(String(message.body)) as { version: number }
    const last = lastOfKey.get(message.orderingKey) ?? 0
    if (version !== last + 1) inversions.push(`${message.orderingKey}: ${String(version)} after ${String(last)}`)
    lastOfKey.set(message.orderingKey, version)
  }

  return {
    random,
    get delivered() {
      return delivered
    },
    publisher: ({ failEach = 0, rejectEach = 0 } = {}) => ({
      name: 'storm',
      close: () => Promise.resolve(),
      publish: async (batch) => {
        const streams = new Set(batch.map(streamOf).filter((stream) => stream !== null))
        for (const stream of streams) {
          if (underWay.has(stream)) overlaps.push(stream)
          underWay.add(stream)
        }
        await new Promise((resolve) => setTimeout(resolve, random() * 5))
        for (const stream of streams) underWay.delete(stream)
        if (random() < rejectEach) throw new Error('out of reach')
        return answer(batch, (message) => {
          if (random() < failEach) return false
          accept(message)
          return true
        })
      },
    }),
    startWriters: (count, keys) => startWriters(bench, { count, keys, random, committed }),
    findings: () => ({
      lost: [...committed.keys()].filter((id) => !seen.has(id)).map((id) => `${id} of ${committed.get(id) ?? ''}`),
      inversions,
      duplicates: [...seen.values()].filter((count) => count > 1).length,
      overlaps,
    }),
  }
}

function answer(batch: readonly OutboxMessage[], accepts: (message: OutboxMessage) => boolean): PublishResult[] {
  const broken = new Set<string | null>()
  return batch.map((message) => {
    const order = streamOf(message)
    if (!(order !== null && broken.has(order)) && accepts(message)) return { id: message.id, status: 'accepted' }
    if (order !== null) broken.add(order)
    return { id: message.id, status: 'failed', failure: { kind: 'retryable', code: 'STORM', message: 'by chance' } }
  })
}

function startWriters(
  bench: RelayBench,
  world: { count: number; keys: number; random: () => number; committed: Map<string, string> },
): { stop(): Promise<void> } {
  const outbox = createOutbox()
  const stopping = new AbortController()
  const enough = Promise.withResolvers<void>()
  const write = async (): Promise<void> => {
    const client = await bench.as.writer.connect()
    while (!stopping.signal.aborted) {
      const keys = [...new Set([1, 2, 3].map(() => `key ${String(Math.floor(world.random() * world.keys))}`))].sort()
      await client.query('begin')
      const { rows } = await client.query(
        `insert into accounts select key, 1 from unnest($1::text[]) key order by key
         on conflict (key) do update set version = accounts.version + 1 returning key, version`,
        [keys],
      )
      const messages = rows.map(({ key, version }) => ({
        topic: 't',
        type: 'x',
        orderingKey: key,
        payload: { version },
      }))
      const ids = await outbox.addAll(client, [...messages, { topic: 't', type: 'loose', payload: {} }])
      await new Promise((resolve) => setTimeout(resolve, world.random() * 4))
      const isKept = world.random() < 0.9
      await client.query(isKept ? 'commit' : 'rollback')
      if (isKept) for (const [at, id] of ids.entries()) world.committed.set(id, rows[at]?.key ?? 'no key')
      if (world.committed.size > 200) enough.resolve()
    }
    client.release()
  }
  const writers = Array.from({ length: world.count }, write)
  return {
    stop: async () => {
      await enough.promise // On a busy machine the faults are over sooner than a storm is one.
      stopping.abort()
      await Promise.all(writers)
    },
  }
}

export const stormOptions: Partial<RelayOptions> = {
  pollIntervalMs: 20,
  leaseMs: 3_000,
  batchSize: 20,
  backoff: () => 10,
  outageBackoff: () => 5,
  maxAttempts: 1_000,
}
