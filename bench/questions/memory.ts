import { forkRelay, type RelayChild } from '../children/relay-child.ts'
import type { Benchmark, Figure } from '../harness/benchmark.ts'
import { atMost, figureRow, spreadOf } from '../harness/statistics.ts'
import { createMaloteDrainer } from '../peers/malote.ts'
import type { BenchDatabase } from '../harness/server.ts'

const sampleMs = 100

export const memory: Benchmark = {
  name: 'memory',
  question:
    'Does the memory of a relay stay small and flat through a million messages of 500 bytes, and with a hung broker?',
  run: async ({ server, scale, log }) => {
    const count = 1_000_000 * scale
    const database = await server.database()
    const drainer = await createMaloteDrainer(database)
    await fill(database, count)
    const hung = await sampled(database, 'hung', async () => new Promise((resolve) => setTimeout(resolve, 8_000)))
    log(`hung broker: ${String(hung.length)} samples`)
    const draining = await sampled(database, 'noop', async () => {
      while (!(await drainer.isEmpty())) await new Promise((resolve) => setTimeout(resolve, 250))
    })
    await database.drop()
    const figures: Record<string, Figure> = {
      draining: highest(draining),
      'hung broker': highest(hung),
      growth: { ...spreadOf([growth(draining)]), unit: 'MB' },
    }
    return {
      figures,
      rows: [
        figureRow(
          'draining',
          'highest resident memory while draining 1 M of 500 B',
          highest(draining),
          atMost(150, ' MB'),
        ),
        figureRow('hung-broker', 'highest resident memory with a hung broker', highest(hung), atMost(150, ' MB')),
        figureRow(
          'growth',
          'last third of the drain minus its middle third, medians',
          { ...spreadOf([growth(draining)]), unit: 'MB' },
          atMost(10, ' MB'),
        ),
      ],
      runs: 1,
      notes: [
        'One run with a sample of the process every 100 ms; the spread is over samples. Node itself takes about 45 MB of it.',
      ],
    }
  },
}

async function fill({ admin }: BenchDatabase, count: number): Promise<void> {
  await admin.query(
    `insert into malote.messages (topic, type, ordering_key, payload)
     select 'orders', 'order.accepted', 'account-' || n % 10000, $1 from generate_series(1, $2) as n`,
    [JSON.stringify({ text: 'x'.repeat(489) }), count],
  )
  await admin.query('vacuum analyze malote.messages')
}

/** Resident megabytes of a relay's process while `work` lasts. */
async function sampled(
  database: BenchDatabase,
  broker: 'noop' | 'hung',
  work: () => Promise<unknown>,
): Promise<number[]> {
  const child = await forkRelay({ url: database.url, broker })
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
    await new Promise((resolve) => setTimeout(resolve, sampleMs))
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
