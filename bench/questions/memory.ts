import { setTimeout as pause } from 'node:timers/promises'
import { forkRelay, type RelayChild } from '../children/relay-child.ts'
import type { Answer, Benchmark, Figure } from '../harness/benchmark.ts'
import { atMost, figureRow, spreadOf } from '../harness/statistics.ts'
import { createMaloteDrainer } from '../peers/malote.ts'
import type { BenchDatabase } from '../harness/server.ts'

const sampleMs = 100

/** V8 lets its young generation grow to 96 MB unless told otherwise; what the relay holds is a fraction of that. */
const smallYoungGeneration = ['--max-semi-space-size=4']

export const memory: Benchmark = {
  name: 'memory',
  question:
    'Does the memory of a relay stay small and flat through a million messages of 500 bytes, and with a hung broker?',
  run: async ({ server, scale, log }) => {
    const count = 1_000_000 * scale
    const database = await server.database()
    const drainer = await createMaloteDrainer(database)
    const untilEmpty = async (): Promise<void> => {
      while (!(await drainer.isEmpty())) await pause(250)
    }
    const small = { database, nodeFlags: smallYoungGeneration }
    await fill(database, count / 10)
    // The first start compiles; its memory is not a relay's.
    await sampled({ ...small, broker: 'noop' }, untilEmpty)
    await fill(database, count / 4)
    const byDefault = await sampled({ database, broker: 'noop' }, untilEmpty)
    await fill(database, count)
    const hung = await sampled({ ...small, broker: 'hung' }, () => pause(8_000))
    const draining = await sampled({ ...small, broker: 'noop' }, untilEmpty)
    await database.drop()
    log(`${String(draining.length)} samples while draining, ${String(hung.length)} with a hung broker`)
    return answerOf(draining, hung, byDefault)
  },
}

function answerOf(draining: readonly number[], hung: readonly number[], byDefault: readonly number[]): Answer {
  const grown: Figure = { ...spreadOf([growth(draining)]), unit: 'MB' }
  return {
    figures: {
      draining: highest(draining),
      'hung broker': highest(hung),
      growth: grown,
      'draining, Node’s default young generation': highest(byDefault),
    },
    rows: [
      figureRow(
        'draining',
        'highest resident memory while draining 1 M of 500 B',
        highest(draining),
        atMost(150, ' MB'),
      ),
      figureRow('hung-broker', 'highest resident memory with a hung broker', highest(hung), atMost(150, ' MB')),
      figureRow('growth', 'last third of the drain minus its middle third, medians', grown, atMost(10, ' MB')),
      figureRow(
        'default-flags',
        'the same with Node’s default young generation (250 k messages)',
        highest(byDefault),
        atMost(150, ' MB'),
      ),
    ],
    runs: 1,
    notes: [
      'Node runs with `--max-semi-space-size=4`. By default V8 lets its young generation grow to 96 MB under any steady stream of short-lived objects, however few are alive; that is shown beside it.',
      'One run with a sample of the process every 100 ms; the spread is over samples. Node with pg alone takes about 60 MB of it.',
    ],
  }
}

async function fill({ admin }: BenchDatabase, count: number): Promise<void> {
  await admin.query(
    `insert into malote.messages (topic, type, ordering_key, payload)
     select 'orders', 'order.accepted', 'account-' || n % 10000, $1 from generate_series(1, $2) as n`,
    [JSON.stringify({ text: 'x'.repeat(489) }), count],
  )
  await admin.query('vacuum analyze malote.messages')
}

interface SampledRelay {
  readonly database: BenchDatabase
  readonly broker: 'noop' | 'hung'
  readonly nodeFlags?: readonly string[]
}

/** Resident megabytes of a relay's process while `work` lasts. */
async function sampled({ database, ...setup }: SampledRelay, work: () => Promise<unknown>): Promise<number[]> {
  const child = await forkRelay({ url: database.url, ...setup })
  child.start()
  const state = { isOver: false }
  const samples = sample(child, state)
  await work()
  state.isOver = true
  const megabytes = await samples
  await child.stop()
  return megabytes
}

async function sample(child: RelayChild, state: { readonly isOver: boolean }): Promise<number[]> {
  const megabytes: number[] = []
  do {
    megabytes.push((await child.report()).rssBytes / 1e6)
    await pause(sampleMs)
  } while (!state.isOver)
  return megabytes
}

function highest(samples: readonly number[]): Figure {
  return { ...spreadOf(samples), median: spreadOf(samples).max, unit: 'MB' }
}

/** Flat means: no more at the end than in the middle. */
function growth(samples: readonly number[]): number {
  const third = Math.floor(samples.length / 3)
  return spreadOf(samples.slice(2 * third)).median - spreadOf(samples.slice(third, 2 * third)).median
}
