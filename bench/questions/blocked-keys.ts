import type { Benchmark } from '../harness/benchmark.ts'
import { topic, type } from '../harness/load.ts'
import { atMost, figuresOf, percentile, ratioOf, ratioRow } from '../harness/statistics.ts'
import type { LatencyRig } from '../peers/latency-rig.ts'
import { latencies, maloteRig } from './latency.ts'

const count = 30_000

/** Each holds one message back. */
const holdKeys = async (admin: { query(text: string, values: unknown[]): Promise<unknown> }): Promise<void> => {
  const keys = `select 'held ' || n from generate_series(1, $2::integer) n`
  await admin.query(`insert into malote.held_keys (topic, ordering_key) select $1, key from (${keys}) as held (key)`, [
    topic,
    count,
  ])
  await admin.query(
    `insert into malote.messages (topic, type, ordering_key, payload) select $1, $3, key, '{}' from (${keys}) as held (key)`,
    [topic, count, type],
  )
}

/** Long enough for a relay to have looked past what is held, which it does when it takes a lane over. */
const settlingMs = 3_000

async function settled<Worker>(worker: Worker): Promise<Worker> {
  await new Promise((resolve) => setTimeout(resolve, settlingMs))
  return worker
}

export const blockedKeys: Benchmark = {
  name: 'blocked-keys',
  question: 'Do 30,000 held keys make the messages of other keys wait?',
  run: async ({ server, rounds, scale, log }) => {
    const contestants = {
      '30,000 held': await maloteRig(server, holdKeys),
      'none held': await maloteRig(server),
    }
    const samples: Record<string, number[]> = {}
    for (let round = 0; round < rounds; round++) {
      const order = Object.entries(contestants)
      for (const [name, { rig: its, client }] of round % 2 === 0 ? order : order.toReversed()) {
        const rig: LatencyRig = { ...its, start: async (onArrival) => settled(await its.start(onArrival)) }
        const sorted = await latencies(rig, client, Math.max(200, 400 * scale))
        for (const [label, share] of [
          ['p50', 0.5],
          ['p99', 0.99],
        ] as const)
          (samples[`${name} ${label}`] ??= []).push(percentile(sorted, share))
        log(`${name}: p50 ${percentile(sorted, 0.5).toFixed(2)} ms, p99 ${percentile(sorted, 0.99).toFixed(2)} ms`)
      }
    }
    return {
      figures: figuresOf(samples, 'ms'),
      rows: [
        ratioRow(
          'none-held-p99',
          'COMMIT → publish beside 30,000 held keys, p99 ÷ with none',
          ratioOf(samples['30,000 held p99'], samples['none held p99']),
          atMost(2),
        ),
      ],
      runs: rounds,
      notes: [
        'Messages without a key, 100 a second, of the topic whose keys are held, and a relay that runs for seconds before the first.',
      ],
    }
  },
}
