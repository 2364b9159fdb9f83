import { migrate } from '@malote/outbox-core'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import { payloadText, topic, type } from '../harness/load.ts'
import type { BenchDatabase } from '../harness/server.ts'
import { atLeast, figuresOf, ratioOf, ratioRow } from '../harness/statistics.ts'
import { drain } from '../peers/drainer.ts'
import { createMaloteDrainer } from '../peers/malote.ts'

export const scheduled: Benchmark = {
  name: 'scheduled',
  question: 'Do a million messages scheduled for next week slow down those of today?',
  run: async ({ server, rounds, scale, log }) => {
    const count = 100_000 * scale
    const [full, none] = [await server.database(), await server.database()]
    const [withScheduled, without] = [await createMaloteDrainer(full), await createMaloteDrainer(none)]
    await schedule(full, count * 10)
    const samples = await alternate(
      rounds,
      { '1 M scheduled': () => drain(withScheduled, { count }), 'none scheduled': () => drain(without, { count }) },
      log,
    )
    await Promise.all([full.drop(), none.drop()])
    const ratio = ratioOf(samples['1 M scheduled'], samples['none scheduled'])
    return {
      figures: figuresOf(samples, 'messages/s'),
      rows: [
        ratioRow('none-scheduled', 'drain with 1 M messages scheduled for next week ÷ with none', ratio, atLeast(0.9)),
      ],
      runs: rounds,
    }
  },
}

async function schedule({ admin }: BenchDatabase, count: number): Promise<void> {
  await migrate(admin)
  await admin.query(
    `insert into malote.scheduled_messages (available_at, topic, type, payload)
     select now() + interval '7 days' + n * interval '1 millisecond', $1, $2, $3 from generate_series(1, $4) as n`,
    [topic, type, payloadText, count],
  )
  await admin.query('vacuum analyze malote.scheduled_messages')
}
