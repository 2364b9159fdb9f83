import { createOutbox, migrate } from '@malote/outbox-core'
import type pg from 'pg'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import { payload, topic, type } from '../harness/load.ts'
import { atMost, figuresOf, ratioOf, ratioRow, undercut } from '../harness/statistics.ts'
import { rawInsertOne } from '../peers/raw.ts'

export const addOne: Benchmark = {
  name: 'add-one',
  question: 'What does `add` of one message in a transaction cost over a raw insert of the same row?',
  run: async ({ server, rounds, scale, log }) => {
    const database = await server.database()
    await migrate(database.admin)
    const client = await database.client()
    const calls = Math.max(200, 2_000 * scale)
    const outbox = createOutbox()
    const samples = await alternate(
      rounds * 2,
      {
        malote: () =>
          timePerCall(client, calls, (n) =>
            outbox.add(client, { topic, type, payload, orderingKey: `account-${String(n)}` }),
          ),
        'raw-insert': () => timePerCall(client, calls, (n) => rawInsertOne(client, `account-${String(n)}`)),
      },
      log,
    )
    await database.drop()
    return {
      figures: figuresOf(samples, 'µs/call'),
      rows: [
        ratioRow(
          'raw-insert',
          '`add` of one ÷ raw insert, time per call',
          ratioOf(samples.malote, samples['raw-insert']),
          atMost(1.15),
          undercut('a raw insert of the same row'),
        ),
      ],
      runs: rounds * 2,
      notes: ['Calls inside one open transaction, so the commit (the same for both) is not in the figure.'],
    }
  },
}

async function timePerCall(client: pg.Client, calls: number, call: (n: number) => Promise<unknown>): Promise<number> {
  await client.query('truncate malote.messages')
  await client.query('begin')
  const start = performance.now()
  for (let n = 0; n < calls; n++) await call(n)
  const elapsedMs = performance.now() - start
  await client.query('commit')
  return (elapsedMs * 1000) / calls
}
