import { DeleteQueueCommand } from '@aws-sdk/client-sqs'
import { migrateIdempotency } from '@malote/idempotency'
import { sqsClient, startSqsProcess } from '@malote/testing/services/sqs'
import { setTimeout as pause } from 'node:timers/promises'
import { type ConsumerSetup, forkConsumer } from '../children/consumer.ts'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import type { BenchDatabase } from '../harness/server.ts'
import { figuresOf, ratioOf, ratioRow, undercut } from '../harness/statistics.ts'
import { filledQueue } from '../peers/sqs-queue.ts'
import { concurrency, type Sqs } from '../peers/sqs.ts'

const sampleMs = 100

export const consumerMemory: Benchmark = {
  name: 'consumer-memory',
  question: 'How much memory does the process of a consumer take while it applies thousands of messages?',
  rounds: 3,
  run: async ({ server, rounds, scale, log }) => {
    const count = Math.max(1_000, Math.round(10_000 * scale))
    const service = await startSqsProcess()
    const client = sqsClient(service.endpoint)
    const database = await server.database()
    await migrateIdempotency(database.admin)
    await database.admin.query('create table bench_effects (message text not null)')
    const sqs = { client, endpoint: service.endpoint }
    const measure = (who: ConsumerSetup['who']) => () => highestMegabytes({ who, sqs, database, count })
    const contestants = { malote: measure('malote'), 'sqs-consumer': measure('sqs-consumer') }
    const samples = await alternate(rounds, contestants, log)
    await database.drop()
    client.destroy()
    await service.close()
    return {
      figures: figuresOf(samples, 'MB'),
      rows: [
        ratioRow(
          'sqs-consumer',
          'highest resident memory of a consumer with an inbox ÷ of sqs-consumer without',
          ratioOf(samples.malote, samples['sqs-consumer']),
          null,
          undercut('sqs-consumer'),
        ),
      ],
      runs: rounds,
      notes: [
        `SQS (${service.origin}), ${count.toLocaleString('en')} messages, ${String(concurrency)} handlers side by side, one row as the effect of a message, ten connections, Node's own settings; a sample of the process every ${String(sampleMs)} ms.`,
      ],
    }
  },
}

interface Run {
  readonly who: ConsumerSetup['who']
  readonly sqs: Sqs
  readonly database: BenchDatabase
  readonly count: number
}

async function highestMegabytes({ who, sqs, database, count }: Run): Promise<number> {
  await database.admin.query('truncate bench_effects')
  const queueUrl = await filledQueue(sqs, count, 1_000)
  const consumer = await forkConsumer({ who, endpoint: sqs.endpoint, queueUrl, url: database.url })
  let highest = 0
  while ((await applied(database)) < count) {
    highest = Math.max(highest, await consumer.rss())
    await pause(sampleMs)
  }
  await consumer.stop()
  await sqs.client.send(new DeleteQueueCommand({ QueueUrl: queueUrl }))
  return highest / 1e6
}

async function applied({ admin }: BenchDatabase): Promise<number> {
  const { rows } = await admin.query<{ n: number }>('select count(distinct message)::integer as n from bench_effects')
  return rows[0]?.n ?? 0
}
