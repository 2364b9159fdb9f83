import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import type { BenchDatabase } from '../harness/server.ts'
import { atLeast, figuresOf, ratioOf, ratioRow } from '../harness/statistics.ts'
import { drainFilled } from '../peers/drainer.ts'
import { createMaloteDrainer, fillMessages } from '../peers/malote.ts'

export const backlog: Benchmark = {
  name: 'backlog',
  question: 'Do the first 100,000 of a backlog of a million leave as fast as those of 100,000?',
  rounds: 3,
  run: async ({ server, rounds, scale, log }) => {
    const count = 100_000 * scale
    const [small, big] = [await server.database(), await server.database()]
    const samples = await alternate(
      rounds,
      { 'of 1 M': await firstOf(big, count * 10, count), 'of 100 k': await firstOf(small, count, count) },
      log,
    )
    await Promise.all([small.drop(), big.drop()])
    return {
      figures: figuresOf(samples, 'messages/s'),
      rows: [
        ratioRow(
          'small-backlog',
          'first 100 k of a backlog of 1 M ÷ of 100 k',
          ratioOf(samples['of 1 M'], samples['of 100 k']),
          atLeast(0.8),
        ),
      ],
      runs: rounds,
      notes: ['The table is topped up and vacuumed between rounds. Rated until the first 100 k were handed over.'],
    }
  },
}

async function firstOf(database: BenchDatabase, backlogSize: number, count: number): Promise<() => Promise<number>> {
  const drainer = await createMaloteDrainer(database)
  let left = 0
  const topUp = async (): Promise<void> => {
    await fillMessages(database, backlogSize - left)
    await database.admin.query('vacuum analyze malote.messages')
  }
  return async () => {
    await topUp()
    const rate = await drainFilled(drainer, { count, untilEmpty: false })
    const { rows } = await database.admin.query<{ left: number }>('select count(*)::int as left from malote.messages')
    left = rows[0]?.left ?? 0
    return rate
  }
}
