import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import { payloadText, topic, type } from '../harness/load.ts'
import type { BenchDatabase } from '../harness/server.ts'
import { atLeast, figuresOf, ratioOf, ratioRow } from '../harness/statistics.ts'
import { drain, type Drainer } from '../peers/drainer.ts'
import { createMaloteDrainer } from '../peers/malote.ts'

const keysOf = { '1,000 keys': `'account-' || n % 1000`, 'one key': `'account'` } as const

/** Messages as a replay leaves them, and as failures whose pause is over: waiting, and due. Or new ones of the same keys. */
async function drainerOf(database: BenchDatabase, key: string, isWaiting: boolean): Promise<Drainer> {
  const drainer = await createMaloteDrainer(database)
  const fill = (count: number): Promise<unknown> =>
    database.admin.query(
      `insert into malote.messages (topic, type, ordering_key, payload, available_at)
       select $1, $2, ${key}, $3, ${isWaiting ? 'clock_timestamp()' : 'null'} from generate_series(1, $4::integer) as n`,
      [topic, type, payloadText, count],
    )
  return { ...drainer, fill }
}

export const recovery: Benchmark = {
  name: 'recovery',
  question: 'Do messages that are replayed after an incident leave as fast as new ones?',
  run: async ({ server, rounds, scale, log }) => {
    const count = Math.round(50_000 * scale)
    const database = await server.database()
    const contestants: Record<string, () => Promise<number>> = {}
    for (const [name, key] of Object.entries(keysOf)) {
      const [replayed, fresh] = [await drainerOf(database, key, true), await drainerOf(database, key, false)]
      contestants[`replayed, ${name}`] = () => drain(replayed, { count })
      contestants[`new, ${name}`] = () => drain(fresh, { count })
    }
    const samples = await alternate(rounds, contestants, log)
    await database.drop()
    return {
      figures: figuresOf(samples, 'messages/s'),
      rows: Object.keys(keysOf).map((name) =>
        ratioRow(
          `new-${name === 'one key' ? 'one-key' : 'many-keys'}`,
          `replayed messages of ${name} ÷ new ones of the same`,
          ratioOf(samples[`replayed, ${name}`], samples[`new, ${name}`]),
          atLeast(0.5),
        ),
      ),
      runs: rounds,
      notes: ['Failed messages whose pause is over are read in the same way as replayed ones.'],
    }
  },
}
