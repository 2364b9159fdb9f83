import { createOutbox, migrate } from '@malote/outbox-core'
import type pg from 'pg'
import type { Benchmark, Row } from '../harness/benchmark.ts'
import { payload, topic, type } from '../harness/load.ts'
import type { BenchDatabase, BenchServer } from '../harness/server.ts'
import { atMost, figuresOf, percentile, ratioOf, ratioRow, undercut } from '../harness/statistics.ts'
import { createGraphileLatencyRig } from '../peers/graphile-worker.ts'
import type { LatencyRig } from '../peers/latency-rig.ts'
import { createMaloteDrainer, noopPublisher } from '../peers/malote.ts'
import { createRiverLatencyRig, riverLatencyConfiguration, whyNoRiver } from '../peers/river.ts'

const perSecond = 100
const seconds = 4

/** At most this share of whose time; null: nothing is promised. */
const targets = { 'graphile-worker': { p50: 0.6, p99: 1 }, river: { p50: null, p99: null } } as const

export const latency: Benchmark = {
  name: 'latency',
  question: 'How long from COMMIT to the publisher at 100 messages a second?',
  run: async ({ server, rounds, scale, log }) => {
    const graphileDatabase = await server.database()
    const noRiver = whyNoRiver()
    const contestants = {
      malote: await maloteRig(server),
      'graphile-worker': {
        rig: await createGraphileLatencyRig(graphileDatabase),
        client: await graphileDatabase.client(),
      },
      ...(noRiver === null ? { river: await riverRig(server) } : {}),
    }
    const samples = await latencySamples(contestants, Math.max(100, perSecond * seconds * scale), { rounds, log })
    return {
      figures: figuresOf(samples, 'ms'),
      rows: Object.entries(targets).flatMap(([peer, bounds]) =>
        samples[`${peer} p50`] === undefined ? [] : ratioRows(peer, bounds, samples),
      ),
      runs: rounds,
      notes: [
        'Counted from just before COMMIT is sent, so the durable commit is in it for both.',
        'graphile-worker: concurrentJobs 10, maxPoolSize 12, no local queue and no batched completion: its settings for latency.',
        noRiver === null
          ? `River: ${riverLatencyConfiguration}; its worker notes when a job arrives.`
          : `River: not run, ${noRiver}.`,
      ],
    }
  },
}

function ratioRows(
  peer: string,
  bounds: Readonly<Record<'p50' | 'p99', number | null>>,
  samples: Readonly<Record<string, readonly number[]>>,
): Row[] {
  return Object.entries(bounds).map(([label, bound]) =>
    ratioRow(
      `${peer}-${label}`,
      `COMMIT → publish, ${label} ÷ ${peer}`,
      ratioOf(samples[`malote ${label}`] ?? [], samples[`${peer} ${label}`] ?? []),
      bound === null ? null : atMost(bound),
      undercut(peer === 'river' ? 'River' : peer),
    ),
  )
}

async function riverRig(server: BenchServer): Promise<Contestant> {
  const database = await server.database()
  return { rig: await createRiverLatencyRig(database), client: await database.client() }
}

interface RigParts {
  /** What else the database holds. */
  readonly prepare?: (database: BenchDatabase) => Promise<unknown>
  readonly publisher?: typeof noopPublisher
}

/** A started rig, and the connection that adds its messages. */
export interface Contestant {
  readonly rig: LatencyRig
  readonly client: pg.Client
}

export async function maloteRig(
  server: BenchServer,
  { prepare, publisher = noopPublisher }: RigParts = {},
): Promise<Contestant & { readonly database: BenchDatabase }> {
  const database = await server.database()
  await migrate(database.admin)
  await prepare?.(database)
  const outbox = createOutbox()
  const rig: LatencyRig = {
    add: (client, sentAt) => outbox.add(client, { topic, type, payload: { ...payload, sentAt } }),
    start: async (onArrival) => {
      const drainer = await createMaloteDrainer(database, {
        publisher: () =>
          publisher((batch) => {
            for (const { body } of batch) onArrival((JSON.parse(String(body)) as { sentAt: number }).sentAt)
          }),
      })
      return drainer.start(() => {})
    },
  }
  return { rig, client: await database.client(), database }
}

/** Each contestant once a round, in turned order. @returns `NAME p50` and `NAME p99` → milliseconds by round */
export async function latencySamples(
  contestants: Readonly<Record<string, Contestant>>,
  messages: number,
  { rounds, log }: { readonly rounds: number; readonly log: (line: string) => void },
): Promise<Record<string, number[]>> {
  const samples: Record<string, number[]> = {}
  for (let round = 0; round < rounds; round++) {
    const order = Object.entries(contestants)
    for (const [name, { rig, client }] of round % 2 === 0 ? order : order.toReversed()) {
      const sorted = await latencies(rig, client, messages)
      const [p50, p99] = [percentile(sorted, 0.5), percentile(sorted, 0.99)]
      ;(samples[`${name} p50`] ??= []).push(p50)
      ;(samples[`${name} p99`] ??= []).push(p99)
      log(`${name}: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`)
    }
  }
  return samples
}

/** Milliseconds from COMMIT to arrival, ascending. */
async function latencies(rig: LatencyRig, client: pg.Client, count: number): Promise<number[]> {
  const commits = new Map<number, number>()
  const taken: number[] = []
  let finish = (): void => {}
  const finished = new Promise<void>((resolve) => (finish = resolve))
  // The first messages find the worker still starting: they are waited for and not counted.
  const warmUp = perSecond / 2
  const worker = await rig.start((sentAt, atMs = performance.now()) => {
    if (sentAt >= warmUp) taken.push(atMs - (commits.get(sentAt) ?? Number.NaN))
    if (sentAt === count + warmUp - 1) finish()
  })
  const start = performance.now()
  for (let n = 0; n < count + warmUp; n++) {
    const wait = start + (n * 1000) / perSecond - performance.now()
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
    await client.query('begin')
    await rig.add(client, n)
    commits.set(n, performance.now())
    await client.query('commit')
  }
  await finished
  await worker.stop()
  return taken.toSorted((a, b) => a - b)
}
