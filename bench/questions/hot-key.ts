import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import { atLeast, figuresOf, ratioOf, ratioRow } from '../harness/statistics.ts'
import { drain } from '../peers/drainer.ts'
import { createMaloteDrainer } from '../peers/malote.ts'

export const hotKey: Benchmark = {
  name: 'hot-key',
  question: 'Does it cost throughput when half of all messages share one ordering key?',
  run: async ({ server, rounds, scale, log }) => {
    const count = 100_000 * scale
    const database = await server.database()
    const hot = await createMaloteDrainer(database, { keys: 'half-on-one' })
    const none = await createMaloteDrainer(database, { keys: 'none' })
    const samples = await alternate(
      rounds,
      { 'half on one key': () => drain(hot, { count }), 'no keys': () => drain(none, { count }) },
      log,
    )
    await database.drop()
    const ratio = ratioOf(samples['half on one key'], samples['no keys'])
    return {
      figures: figuresOf(samples, 'messages/s'),
      rows: [ratioRow('no-keys', 'half of the messages on one key ÷ no keys', ratio, atLeast(0.8))],
      runs: rounds,
    }
  },
}
