import { alternate } from '../harness/alternate.ts'
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

const startMessages = 100
const betweenMs = 5

/** Adds a message every few milliseconds from the moment in which the relay starts. @returns the longest wait, in milliseconds */
async function longestWaitOfStart({ rig, client }: Contestant): Promise<number> {
  const commits = new Map<number, number>()
  const waits: number[] = []
  const { promise: finished, resolve: finish } = Promise.withResolvers<void>()
  const worker = await rig.start((sentAt) => {
    waits.push(performance.now() - (commits.get(sentAt) ?? Number.NaN))
    if (waits.length === startMessages) finish()
  })
  const startMs = performance.now()
  for (let n = 0; n < startMessages; n++) {
    const waitMs = startMs + n * betweenMs - performance.now()
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
    await client.query('begin')
    await rig.add(client, n)
    commits.set(n, performance.now())
    await client.query('commit')
  }
  await finished
  await worker.stop()
  return Math.max(...waits)
}

export const blockedKeys: Benchmark = {
  name: 'blocked-keys',
  question: 'Do 30,000 held keys make the messages of other keys wait?',
  run: async ({ server, rounds, scale, log }) => {
    const [held, none] = [await maloteRig(server, { prepare: holdKeys }), await maloteRig(server)]
    const contestants = { '30,000 held': settled(held), 'none held': settled(none) }
    const samples = await latencySamples(contestants, Math.max(200, 400 * scale), { rounds, log })
    const starts = await alternate(
      rounds,
      {
        'start beside 30,000 held': () => longestWaitOfStart(held),
        'start beside none held': () => longestWaitOfStart(none),
      },
      log,
    )
    return {
      figures: figuresOf({ ...samples, ...starts }, 'ms'),
      rows: [
        ratioRow(
          'none-held-p99',
          'COMMIT → publish beside 30,000 held keys, p99 ÷ with none',
          ratioOf(samples['30,000 held p99'], samples['none held p99']),
          atMost(2),
        ),
        ratioRow(
          'none-held-start',
          'longest wait of messages added as a relay starts beside 30,000 held keys ÷ with none',
          ratioOf(starts['start beside 30,000 held'], starts['start beside none held']),
          atMost(2),
        ),
      ],
      runs: rounds,
      notes: [
        'Messages without a key, 100 a second, of the topic whose keys are held, and a relay that runs for seconds before the first. As a relay starts: 200 a second for half a second from then on.',
      ],
    }
  },
}
