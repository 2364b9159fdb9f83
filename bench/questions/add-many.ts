import { createOutbox, migrate } from '@malote/outbox-core'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import { payload, topic, type } from '../harness/load.ts'
import { atLeast, figuresOf, outrun, ratioOf, ratioRow } from '../harness/statistics.ts'
import { createGraphileProducer } from '../peers/graphile-worker.ts'
import { rawInsertMany } from '../peers/raw.ts'

const batchSize = 1_000

export const addMany: Benchmark = {
  name: 'add-many',
  question: 'How fast is `addAll` of 1,000 messages beside raw `jsonb_to_recordset` and graphile-worker `addJobs`?',
  run: async ({ server, rounds, scale, log }) => {
    const [ours, theirs] = [await server.database(), await server.database()]
    await migrate(ours.admin)
    const graphile = await createGraphileProducer(theirs)
    const client = await ours.client()
    const batches = Math.max(3, Math.round(20 * scale))
    const outbox = createOutbox()
    const keys = Array.from({ length: batchSize }, (_, n) => `account-${String(n)}`)
    const messages = keys.map((orderingKey) => ({ topic, type, payload, orderingKey }))
    const inTransaction = async (work: () => Promise<unknown>): Promise<number> => {
      await client.query('truncate malote.messages')
      return rate(batches, async () => {
        await client.query('begin')
        await work()
        await client.query('commit')
      })
    }
    const samples = await alternate(
      rounds * 2,
      {
        malote: () => inTransaction(() => outbox.addAll(client, messages)),
        'raw-jsonb': () => inTransaction(() => rawInsertMany(client, keys)),
        'graphile-worker': () => graphile.clear().then(() => rate(batches, () => graphile.addJobs(batchSize))),
      },
      log,
    )
    await graphile.close()
    await Promise.all([ours.drop(), theirs.drop()])
    return {
      figures: figuresOf(samples, 'messages/s'),
      rows: [
        ratioRow(
          'raw-jsonb',
          '`addAll` of 1,000 ÷ raw `jsonb_to_recordset`',
          ratioOf(samples.malote, samples['raw-jsonb']),
          atLeast(0.85),
          outrun('a raw insert by `jsonb_to_recordset`'),
        ),
        ratioRow(
          'graphile-worker',
          '`addAll` of 1,000 ÷ graphile-worker `addJobs`',
          ratioOf(samples.malote, samples['graphile-worker']),
          atLeast(2),
          outrun('graphile-worker'),
        ),
      ],
      runs: rounds * 2,
      notes: ['Each batch is a transaction of its own, commit included.'],
    }
  },
}

async function rate(batches: number, addBatch: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  for (let n = 0; n < batches; n++) await addBatch()
  return (batches * batchSize * 1000) / (performance.now() - start)
}
