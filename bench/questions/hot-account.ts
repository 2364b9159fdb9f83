import { assertTopology, createRabbitmqConsumer, createRabbitmqPublisher } from '@malote/adapter-rabbitmq'
import { createBatchHandler, createInbox, migrateIdempotency } from '@malote/idempotency'
import type { DeliveryHandler } from '@malote/outbox-core'
import { anOutboxMessage } from '@malote/outbox-core/testing'
import { startRabbitmq } from '@malote/testing/services/rabbitmq'
import { connect } from 'amqplib'
import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import { atLeast, figuresOf, ratioOf, ratioRow } from '../harness/statistics.ts'

const exchange = 'bench-accounts'
const credit = `update bench_accounts set balance = balance + $1 where id = 'hot'`

/** All messages are of one account: nothing can be done side by side. */
export const hotAccount: Benchmark = {
  name: 'hot-account',
  question: 'How much faster is a consumer that applies what waits of one account in one transaction?',
  run: async ({ server, rounds, scale, log }) => {
    const count = Math.max(200, Math.round(2_000 * scale))
    const broker = await startRabbitmq()
    const database = await server.database()
    const pool = database.pool({ max: 4 })
    await migrateIdempotency(pool)
    await pool.query(
      `create table bench_accounts (id text primary key, balance bigint not null); insert into bench_accounts values ('hot', 0)`,
    )
    const inbox = createInbox()
    const oneByOne: DeliveryHandler = async ({ message }) => {
      const one = { consumer: 'accounts', messageId: message.id, occurredAt: message.createdAt }
      await inbox.transact(pool, one, async (tx) => void (await tx.query(credit, [1])))
    }
    const byStream = createBatchHandler(
      { inbox, db: pool, consumer: 'accounts', byStream: true },
      async (tx, messages) => void (await tx.query(credit, [messages.length])),
    )
    const run = (handler: DeliveryHandler) => () => consume(broker.url, pool, handler, count)
    const samples = await alternate(rounds, { 'one by one': run(oneByOne), 'by stream': run(byStream) }, log)
    await database.drop()
    await broker.dispose()
    const ratio = ratioOf(samples['by stream'], samples['one by one'])
    return {
      figures: figuresOf(samples, 'messages/s'),
      rows: [ratioRow('one-by-one', 'a hot account by stream ÷ one by one', ratio, atLeast(3))],
      runs: rounds,
      notes: [`RabbitMQ (${broker.origin}), one queue, default prefetch; one inbox row for each message in both.`],
    }
  },
}

/** @returns messages per second, from the start of the consumer to the last commit */
async function consume(url: string, pool: pg.Pool, handler: DeliveryHandler, count: number): Promise<number> {
  const queue = randomUUID()
  const connection = (): ReturnType<typeof connect> => connect(url)
  const setup = await connection()
  await assertTopology(await setup.createChannel(), { exchange, queue, topics: [queue] })
  await setup.close()
  const publisher = createRabbitmqPublisher({ connect: connection, source: '/bench', exchange })
  const messages = Array.from({ length: count }, () => anOutboxMessage({ topic: queue, orderingKey: 'hot' }))
  const results = await publisher.publish(messages, new AbortController().signal)
  await publisher.close()
  if (results.some(({ status }) => status === 'failed')) throw new Error('not all messages were accepted')
  await pool.query('update bench_accounts set balance = 0')
  const done = Promise.withResolvers<void>()
  let handled = 0
  const consumer = createRabbitmqConsumer({
    connect: connection,
    queue,
    handler,
    onEvent: ({ type }) => {
      if (type === 'message.handled' && ++handled === count) done.resolve()
    },
  })
  const start = performance.now()
  await consumer.start()
  await done.promise
  const rate = (count * 1_000) / (performance.now() - start)
  await consumer.stop()
  const { rows } = await pool.query<{ balance: string }>('select balance from bench_accounts')
  if (Number(rows[0]?.balance) !== count) throw new Error(`the balance is ${String(rows[0]?.balance)}`)
  return rate
}
