import { createIdempotency, createInbox, migrateIdempotency } from '@malote/idempotency'
import { idempotentRoute } from '@malote/idempotency/fastify'
import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type pg from 'pg'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import { atLeast, figuresOf, ratioOf, ratioRow } from '../harness/statistics.ts'

const clients = 8
const batchSize = 100

/** The same route twice, each request one transaction with one insert: with the key's record in it, and without. */
function mountRoutes(app: FastifyInstance, pool: pg.Pool): void {
  const idempotency = createIdempotency({
    db: pool,
    tenant: () => 'acme',
    subject: (_request: FastifyRequest) => 'user-1',
    pepper: 'a pepper of the benchmark',
  })
  const insert = `insert into bench_orders (asset) values ($1) returning id`
  app.post(
    '/protected',
    idempotentRoute(
      idempotency.atomic({ operation: 'createOrder' }, async ({ tx, request }) => {
        const { rows } = await tx.query(insert, [(request.body as { asset: string }).asset])
        return { status: 201, body: rows[0] }
      }),
    ),
  )
  app.post('/bare', async (request, reply) => {
    const client = await pool.connect()
    await client.query('begin')
    const { rows } = await client.query(insert, [(request.body as { asset: string }).asset])
    await client.query('commit')
    client.release()
    return reply.code(201).send(rows[0])
  })
}

/** Work per second by `clients` loops that share `total` calls. */
async function perSecond(total: number, call: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  let left = total
  const loop = async (): Promise<void> => {
    while (left-- > 0) await call()
  }
  await Promise.all(Array.from({ length: clients }, loop))
  return (total * 1000) / (performance.now() - start)
}

export const idempotentRoutes: Benchmark = {
  name: 'idempotent-route',
  question: 'What does `Idempotency-Key` cost a Fastify route, and how fast is a replay?',
  run: async ({ server, rounds, scale, log }) => {
    const database = await server.database()
    const pool = database.pool({ max: clients })
    await migrateIdempotency(pool)
    await pool.query('create table bench_orders (id bigint generated always as identity primary key, asset text)')
    const app = Fastify()
    mountRoutes(app, pool)
    const total = Math.max(100, Math.round(3_000 * scale))
    const replayed = randomUUID()
    const post = async (url: string, key: string): Promise<void> => {
      const headers = { 'content-type': 'application/json', 'idempotency-key': key }
      const { statusCode } = await app.inject({ method: 'POST', url, headers, payload: '{"asset":"PETR4"}' })
      if (statusCode !== 201) throw new Error(`${url} answered ${String(statusCode)}`)
    }
    await post('/protected', replayed)
    const samples = await alternate(
      rounds,
      {
        malote: () => perSecond(total, () => post('/protected', randomUUID())),
        bare: () => perSecond(total, () => post('/bare', randomUUID())),
        replay: () => perSecond(total, () => post('/protected', replayed)),
      },
      log,
    )
    await app.close()
    await database.drop()
    return {
      figures: figuresOf(samples, 'requests/s'),
      rows: [
        ratioRow('bare', 'route with the plugin ÷ the same route without', ratioOf(samples.malote, samples.bare), null),
        ratioRow('replay', 'replays ÷ first requests', ratioOf(samples.replay, samples.malote), atLeast(1)),
      ],
      runs: rounds,
      notes: [
        `${String(clients)} requests at a time, injected without a socket; every first request is a durable commit.`,
      ],
    }
  },
}

export const inboxQuestion: Benchmark = {
  name: 'inbox',
  question: 'What does `inbox.transact` cost a transaction, and what does a batch of 100 save?',
  run: async ({ server, rounds, scale, log }) => {
    const database = await server.database()
    const pool = database.pool({ max: clients })
    await migrateIdempotency(pool)
    await pool.query('create table bench_effects (id bigint generated always as identity primary key, note text)')
    const inbox = createInbox()
    const effect = `insert into bench_effects (note) select 'applied' from generate_series(1, $1::integer)`
    const total = Math.max(100, Math.round(3_000 * scale))
    const bare = async (): Promise<void> => {
      const client = await pool.connect()
      await client.query('begin')
      await client.query(effect, [1])
      await client.query('commit')
      client.release()
    }
    const once = (): Promise<unknown> =>
      inbox.transact(pool, { consumer: 'bench', messageId: randomUUID() }, (tx) => tx.query(effect, [1]).then(() => {}))
    const batch = (): Promise<unknown> => {
      const messages = Array.from({ length: batchSize }, () => ({ messageId: randomUUID() }))
      return inbox.transactBatch(pool, 'bench', messages, (tx, fresh) =>
        tx.query(effect, [fresh.length]).then(() => {}),
      )
    }
    const samples = await alternate(
      rounds,
      {
        malote: () => perSecond(total, once),
        bare: () => perSecond(total, bare),
        batch: async () => batchSize * (await perSecond(Math.max(20, Math.round(total / 20)), batch)),
      },
      log,
    )
    await database.drop()
    return {
      figures: figuresOf(samples, 'messages/s'),
      rows: [
        ratioRow('bare', '`inbox.transact` ÷ the bare transaction', ratioOf(samples.malote, samples.bare), null),
        ratioRow('batch', 'a batch of 100 ÷ one by one', ratioOf(samples.batch, samples.malote), atLeast(1)),
      ],
      runs: rounds,
      notes: [`${String(clients)} consumers; every transaction is durable.`],
    }
  },
}
