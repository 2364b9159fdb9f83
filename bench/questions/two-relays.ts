import { forkRelay, type RelayChild } from '../children/relay-child.ts'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import type { BenchDatabase } from '../harness/server.ts'
import { atLeast, atMost, figureRow, figuresOf, ratioOf, ratioRow, spreadOf } from '../harness/statistics.ts'
import type { Drainer } from '../peers/drainer.ts'
import { createMaloteDrainer } from '../peers/malote.ts'

export const twoRelays: Benchmark = {
  name: 'two-relays',
  question: 'Do two relays, each a process, empty a backlog at least as fast as one, and nothing twice?',
  run: async ({ server, rounds, scale, log }) => {
    const count = 100_000 * scale
    const database = await server.database()
    const drainer = await createMaloteDrainer(database)
    const duplicates: number[] = []
    const measure = (relays: number) => async (): Promise<number> => {
      const run = await drainWith(database, drainer, { relays, count })
      if (relays > 1) duplicates.push(run.duplicates)
      return run.rate
    }
    const samples = await alternate(rounds, { 'two relays': measure(2), 'one relay': measure(1) }, log)
    await database.drop()
    return {
      figures: { ...figuresOf(samples, 'messages/s'), duplicates: { ...spreadOf(duplicates), unit: 'messages' } },
      rows: [
        ratioRow('one-relay', 'two relays ÷ one', ratioOf(samples['two relays'], samples['one relay']), atLeast(1)),
        figureRow(
          'duplicates',
          'published twice by two relays',
          { ...spreadOf(duplicates), unit: 'messages' },
          atMost(0, ''),
        ),
      ],
      runs: rounds,
      notes: ['Rated from the start of the relays to the table empty, so sharing the lanes is in it.'],
    }
  },
}

interface Run {
  readonly rate: number
  readonly duplicates: number
}

async function drainWith(
  database: BenchDatabase,
  drainer: Drainer,
  { relays, count }: { readonly relays: number; readonly count: number },
): Promise<Run> {
  await drainer.clear()
  await drainer.fill(count)
  await drainer.vacuum()
  const children: RelayChild[] = []
  for (let n = 0; n < relays; n++)
    children.push(await forkRelay({ url: database.url, broker: 'noop', rememberIds: true }))
  const start = performance.now()
  for (const child of children) child.start()
  while (!(await drainer.isEmpty())) await new Promise((resolve) => setTimeout(resolve, 2))
  const elapsedMs = performance.now() - start
  const reports = await Promise.all(children.map((child) => child.report()))
  await Promise.all(children.map((child) => child.stop()))
  const ids = reports.flatMap((report) => report.ids)
  const within = reports.reduce((sum, report) => sum + report.duplicates, 0)
  return { rate: (count * 1000) / elapsedMs, duplicates: within + ids.length - new Set(ids).size }
}
