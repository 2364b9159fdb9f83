import { DeleteQueueCommand } from '@aws-sdk/client-sqs'
import { createBatchHandler, createInbox, migrateIdempotency } from '@malote/idempotency'
import { sqsClient, startSqsProcess } from '@malote/testing/services/sqs'
import type pg from 'pg'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import { figuresOf, outrun, ratioOf, ratioRow } from '../harness/statistics.ts'
import { bySqsConsumer } from '../peers/sqs-consumer.ts'
import { byMalote } from '../peers/sqs-malote.ts'
import { filledQueue } from '../peers/sqs-queue.ts'
import { byTheSdkAlone, concurrency, type Consume, type Sqs } from '../peers/sqs.ts'

/** So many that none waits for another, and so few that they do. */
const [manyKeys, fewKeys] = [1_000, 50]
const one = 'insert into bench_effects (message) values ($1)'
const many = 'insert into bench_effects (message) select unnest($1::text[])'

/** The effect is one row. Who has no inbox writes it a second time when a message comes again. */
export const consumers: Benchmark = {
  name: 'consumers',
  question:
    'How many messages does a consumer apply, with an inbox and without, beside sqs-consumer and the SDK alone?',
  rounds: 3,
  run: async ({ server, rounds, scale, log }) => {
    const count = Math.max(500, Math.round(3_000 * scale))
    const sqs = await startSqsProcess()
    const client = sqsClient(sqs.endpoint)
    const database = await server.database()
    const pool = database.pool({ max: 10 })
    await migrateIdempotency(pool)
    await pool.query('create table bench_effects (message text not null)')
    const measure =
      (consume: Consume, keys = manyKeys) =>
      () =>
        rateOf({ sqs: { client, endpoint: sqs.endpoint }, pool, consume, count, keys })
    const samples = await alternate(
      rounds,
      {
        'the SDK alone': measure(byTheSdkAlone((id) => pool.query(one, [id]))),
        'sqs-consumer': measure(bySqsConsumer((id) => pool.query(one, [id]))),
        'without an inbox': measure(byMalote(async ({ message }) => void (await pool.query(one, [message.id])))),
        'an inbox, one by one': measure(byMalote(oneByOne(pool))),
        'an inbox, in batches': measure(byMalote(inBatches(pool, false))),
        'an inbox, few keys': measure(byMalote(oneByOne(pool)), fewKeys),
        'an inbox, few keys by stream': measure(byMalote(inBatches(pool, true)), fewKeys),
      },
      log,
    )
    await database.drop()
    client.destroy()
    await sqs.close()
    const beside = (name: string, ours: keyof typeof samples, theirs: keyof typeof samples) =>
      ratioRow(name, `${ours} ÷ ${theirs}`, ratioOf(samples[ours], samples[theirs]), null, outrun(theirs))
    return {
      figures: figuresOf(samples, 'messages/s'),
      rows: [
        beside('bare-client', 'without an inbox', 'the SDK alone'),
        beside('sqs-consumer', 'without an inbox', 'sqs-consumer'),
        beside('one-by-one', 'an inbox, one by one', 'sqs-consumer'),
        beside('in-batches', 'an inbox, in batches', 'sqs-consumer'),
        beside('few-keys', 'an inbox, few keys', 'sqs-consumer'),
        beside('by-stream', 'an inbox, few keys by stream', 'sqs-consumer'),
      ],
      runs: rounds,
      notes: [
        `SQS (${sqs.origin}), a standard queue, ${String(manyKeys)} ordering keys (few: ${String(fewKeys)}), ${String(concurrency)} handlers side by side, one row as the effect of a message, ten connections.`,
        'The SDK alone and sqs-consumer receive and delete ten messages by one request; they have no inbox, keep no order of a key, count no attempts and extend no visibility.',
      ],
    }
  },
}

function oneByOne(pool: pg.Pool): Parameters<typeof byMalote>[0] {
  const inbox = createInbox()
  return async ({ message }) => {
    const known = { consumer: 'bench', messageId: message.id, occurredAt: message.createdAt }
    await inbox.transact(pool, known, async (tx) => void (await tx.query(one, [message.id])))
  }
}

function inBatches(db: pg.Pool, byStream: boolean): Parameters<typeof byMalote>[0] {
  const options = { inbox: createInbox(), db, consumer: 'bench', byStream }
  return createBatchHandler(options, async (tx, messages) => {
    await tx.query(many, [messages.map(({ id }) => id)])
  })
}

interface Run {
  readonly sqs: Sqs
  readonly pool: pg.Pool
  readonly consume: Consume
  readonly count: number
  readonly keys: number
}

/** @returns messages per second, from the start of the consumer to the last effect */
async function rateOf({ sqs, pool, consume, count, keys }: Run): Promise<number> {
  await pool.query('truncate bench_effects')
  const QueueUrl = await filledQueue(sqs, count, keys)
  const start = performance.now()
  const stop = await consume(sqs, QueueUrl)
  while ((await applied(pool)) < count) await new Promise((resolve) => setTimeout(resolve, 20))
  const rate = (count * 1_000) / (performance.now() - start)
  await stop()
  await sqs.client.send(new DeleteQueueCommand({ QueueUrl }))
  return rate
}

async function applied(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ n: number }>('select count(distinct message)::integer as n from bench_effects')
  return rows[0]?.n ?? 0
}
