import { migrate } from '@malote/outbox-core'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import type { BenchDatabase, BenchServer } from '../harness/server.ts'
import { atLeast, figuresOf, ratioOf, ratioRow } from '../harness/statistics.ts'
import { drain } from '../peers/drainer.ts'
import { createMaloteDrainer, fillMessages } from '../peers/malote.ts'

const writerBatch = 1_000

export const freshTable: Benchmark = {
  name: 'fresh-table',
  question: 'Is a relay slower on a table that was never analysed, while a writer fills it?',
  run: async ({ server, rounds, scale, log }) => {
    const count = 100_000 * scale
    const warmed = await warmedDatabase(server, count)
    const samples = await alternate(
      rounds,
      {
        'fresh table': async () => {
          const fresh = await server.database()
          await migrate(fresh.admin)
          const rate = await writeAndRelay(fresh, count)
          await fresh.drop()
          return rate
        },
        'warmed and analysed': () => writeAndRelay(warmed, count),
      },
      log,
    )
    await warmed.drop()
    const ratio = ratioOf(samples['fresh table'], samples['warmed and analysed'])
    return {
      figures: figuresOf(samples, 'messages/s'),
      rows: [ratioRow('warmed', 'fresh table ÷ warmed and analysed, writer and relay together', ratio, atLeast(0.8))],
      runs: rounds,
      notes: [
        `The writer inserts ${String(writerBatch)} at a time, server-side, as fast as it can: both share the cores.`,
      ],
    }
  },
}

/** Processed as many messages as a run has and was analysed with a backlog in it: the planner knows what it looks like. */
async function warmedDatabase(server: BenchServer, count: number): Promise<BenchDatabase> {
  const database = await server.database()
  await drain(await createMaloteDrainer(database), { count })
  await fillMessages(database, count)
  await database.admin.query('analyze malote.messages')
  await database.admin.query('delete from malote.messages')
  await database.admin.query('vacuum malote.messages')
  return database
}

/** Messages per second from the writer's first insert to the table empty. */
async function writeAndRelay(database: BenchDatabase, count: number): Promise<number> {
  const drainer = await createMaloteDrainer(database)
  const worker = await drainer.start(() => {})
  const start = performance.now()
  for (let written = 0; written < count; written += writerBatch) await fillMessages(database, writerBatch)
  while (!(await drainer.isEmpty())) await new Promise((resolve) => setTimeout(resolve, 1))
  const elapsedMs = performance.now() - start
  await worker.stop()
  return (count * 1000) / elapsedMs
}
