import type { Benchmark } from '../harness/benchmark.ts'
import { topic, type } from '../harness/load.ts'
import type { BenchDatabase } from '../harness/server.ts'
import { atMost, figuresOf, ratioOf, ratioRow } from '../harness/statistics.ts'
import { type Contestant, latencySamples, maloteRig } from './latency.ts'

const count = 30_000

/** Each holds one message back. */
const holdKeys = async ({ admin }: BenchDatabase): Promise<void> => {
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

function settled({ rig, client }: Contestant): Contestant {
  const start: Contestant['rig']['start'] = async (onArrival) => {
    const worker = await rig.start(onArrival)
    await new Promise((resolve) => setTimeout(resolve, settlingMs))
    return worker
  }
  return { rig: { ...rig, start }, client }
}

export const blockedKeys: Benchmark = {
  name: 'blocked-keys',
  question: 'Do 30,000 held keys make the messages of other keys wait?',
  run: async ({ server, rounds, scale, log }) => {
    const contestants = {
      '30,000 held': settled(await maloteRig(server, { prepare: holdKeys })),
      'none held': settled(await maloteRig(server)),
    }
    const samples = await latencySamples(contestants, Math.max(200, 400 * scale), { rounds, log })
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
