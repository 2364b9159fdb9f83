import { createIdempotency, createInbox, migrateIdempotency } from '@malote/idempotency'
import { idempotentRoute } from '@malote/idempotency/fastify'
import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type pg from 'pg'
import { ownKeys, type HttpPeers, type Place, startHttpPeers } from '../peers/http-idempotency.ts'
import { farAway } from '../children/far-away.ts'
import { alternate } from '../harness/alternate.ts'
import type { Benchmark } from '../harness/benchmark.ts'
import { atLeast, figuresOf, outrun, ratioOf, ratioRow } from '../harness/statistics.ts'

const clients = 8
const batchSize = 100
const roundTripMs = 2
/** Before anything is measured: else who comes first pays for compiling what all of them use. */
const warmUpCalls = 500
const insert = `insert into bench_orders (asset) values ($1) returning id`
const tables = `create table bench_orders (id bigint generated always as identity primary key, asset text); ${ownKeys}`

const assetOf = (request: FastifyRequest): string => (request.body as { asset: string }).asset

function createOrderIdempotency(pool: pg.Pool) {
  return createIdempotency({
    db: pool,
    tenant: () => 'acme',
    subject: (_request: FastifyRequest) => 'user-1',
    pepper: 'a pepper of the benchmark',
  })
}

async function inTransaction<Result>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<Result>): Promise<Result> {
  const client = await pool.connect()
  await client.query('begin')
  const result = await work(client)
  await client.query('commit')
  client.release()
  return result
}

/** The same route, each time with one insert: with the key's record in its transaction, without, and as the peers do it. */
function mountRoutes(app: FastifyInstance, pool: pg.Pool, peers?: HttpPeers): void {
  const operation = createOrderIdempotency(pool).atomic({ operation: 'createOrder' }, async ({ tx, request }) => {
    const { rows } = await tx.query(insert, [assetOf(request)])
    return { status: 201, body: rows[0] }
  })
  app.post('/protected', idempotentRoute(operation))
  const place: Place = (request) =>
    inTransaction(pool, async (tx) => (await tx.query(insert, [assetOf(request)])).rows[0] as object)
  app.post('/bare', async (request, reply) => reply.code(201).send(await place(request)))
  peers?.mount(app, pool, place)
}

type Post = (url: string, key: string) => Promise<void>

function poster(app: FastifyInstance): Post {
  return async (url, key) => {
    const headers = { 'content-type': 'application/json', 'idempotency-key': key }
    const { statusCode, body } = await app.inject({ method: 'POST', url, headers, payload: '{"asset":"PETR4"}' })
    if (statusCode !== 201) throw new Error(`${url} answered ${String(statusCode)}: ${body}`)
  }
}

/** Work per second by `count` loops that share `total` calls. */
async function perSecond(total: number, call: () => Promise<unknown>, count = clients): Promise<number> {
  const start = performance.now()
  let left = total
  const loop = async (): Promise<void> => {
    while (left-- > 0) await call()
  }
  await Promise.all(Array.from({ length: count }, loop))
  return (total * 1000) / (performance.now() - start)
}

const withoutKeys = outrun('the same route without keys')
const byHand = outrun('a middleware by hand')
const powertools = outrun('Powertools on Redis')
const nodeIdempotency = outrun('node-idempotency on Redis')

export const idempotentRoutes: Benchmark = {
  name: 'idempotent-route',
  question: 'What does `Idempotency-Key` cost a Fastify route, and how fast is a replay?',
  run: async ({ server, rounds, scale, log }) => {
    const database = await server.database()
    const pool = database.pool({ max: clients })
    await migrateIdempotency(pool)
    await pool.query(tables)
    const far = await farAway(database.url, roundTripMs)
    const apps = [Fastify(), Fastify()] as const
    const peers = await startHttpPeers()
    mountRoutes(apps[0], pool, peers)
    mountRoutes(apps[1], database.pool({ max: clients, connectionString: far.url }), peers)
    const [post, postFar] = [poster(apps[0]), poster(apps[1])]
    const total = Math.max(100, Math.round(3_000 * scale))
    const replayed = randomUUID()
    for (const url of ['/protected', '/powertools', '/node-idempotency']) await post(url, replayed)
    const afresh = (url: string) => () => perSecond(total, () => post(url, randomUUID()))
    for (const url of ['/protected', '/bare', '/by-hand', '/powertools', '/node-idempotency'])
      await perSecond(warmUpCalls, () => post(url, randomUUID()))
    const samples = await alternate(
      rounds,
      {
        malote: afresh('/protected'),
        bare: afresh('/bare'),
        replay: () => perSecond(total, () => post('/protected', replayed)),
        'by hand': afresh('/by-hand'),
        powertools: afresh('/powertools'),
        'node-idempotency': afresh('/node-idempotency'),
        'powertools, replay': () => perSecond(total, () => post('/powertools', replayed)),
        'node-idempotency, replay': () => perSecond(total, () => post('/node-idempotency', replayed)),
        'malote, 2 ms away': () => perSecond(total / 3, () => postFar('/protected', randomUUID())),
        'bare, 2 ms away': () => perSecond(total / 3, () => postFar('/bare', randomUUID())),
        'by hand, 2 ms away': () => perSecond(total / 3, () => postFar('/by-hand', randomUUID())),
      },
      log,
    )
    for (const app of apps) await app.close()
    await peers.close()
    await database.drop()
    await far.close()
    const ratio = (one: keyof typeof samples, other: keyof typeof samples) => ratioOf(samples[one], samples[other])
    return {
      figures: figuresOf(samples, 'requests/s'),
      rows: [
        ratioRow(
          'bare',
          'a first request ÷ the same route without',
          ratio('malote', 'bare'),
          atLeast(0.45),
          withoutKeys,
        ),
        ratioRow(
          'bare-2ms',
          'a first request ÷ the same route without, 2 ms away from the database',
          ratio('malote, 2 ms away', 'bare, 2 ms away'),
          atLeast(0.85),
          withoutKeys,
        ),
        ratioRow('replay', 'replays ÷ first requests', ratio('replay', 'malote'), atLeast(2)),
        ratioRow('by-hand', 'a first request ÷ middleware by hand', ratio('malote', 'by hand'), null, byHand),
        ratioRow(
          'by-hand-2ms',
          'a first request ÷ middleware by hand, 2 ms away',
          ratio('malote, 2 ms away', 'by hand, 2 ms away'),
          null,
          byHand,
        ),
        ratioRow(
          'powertools',
          'a first request ÷ Powertools on Redis',
          ratio('malote', 'powertools'),
          null,
          powertools,
        ),
        ratioRow(
          'powertools-replay',
          'a replay ÷ a replay by Powertools',
          ratio('replay', 'powertools, replay'),
          null,
          powertools,
        ),
        ratioRow(
          'node',
          'a first request ÷ node-idempotency on Redis',
          ratio('malote', 'node-idempotency'),
          null,
          nodeIdempotency,
        ),
        ratioRow(
          'node-replay',
          'a replay ÷ a replay by node-idempotency',
          ratio('replay', 'node-idempotency, replay'),
          null,
          nodeIdempotency,
        ),
      ],
      runs: rounds,
      notes: [
        `${String(clients)} requests at a time, injected without a socket; every first request is a durable commit.`,
        'By hand: a row before and the response after, three transactions; what a crash leaves between them is not looked at.',
        'Powertools for AWS Lambda 2.35 and node-idempotency 1.0 keep keys in a Redis that writes nothing to a disk, beside the transaction: a crash between the two runs the order again, or refuses it until the key expires.',
      ],
    }
  },
}

const crowds = [1, 8, 32, 128] as const

export const requestBatches: Benchmark = {
  name: 'request-batch',
  question: 'What does it save when concurrent requests share a transaction?',
  run: async ({ server, rounds, scale, log }) => {
    const database = await server.database()
    const pool = database.pool({ max: 16 })
    await migrateIdempotency(pool)
    await pool.query(tables)
    const app = Fastify()
    mountRoutes(app, pool)
    const batch = createOrderIdempotency(pool).batch({ operation: 'createOrder' }, async ({ tx, requests }) => {
      const { rows } = await tx.query('insert into bench_orders (asset) select unnest($1::text[]) returning id', [
        requests.map(assetOf),
      ])
      return rows.map((row: object) => ({ status: 201, body: row }))
    })
    app.post('/batch', idempotentRoute(batch))
    const post = poster(app)
    const total = (crowd: number): number => Math.max(200, Math.round((crowd === 1 ? 500 : 3_000) * scale))
    const arms = crowds.flatMap((crowd) => [
      [
        `atomic, ${String(crowd)}`,
        () => perSecond(total(crowd), () => post('/protected', randomUUID()), crowd),
      ] as const,
      [`batch, ${String(crowd)}`, () => perSecond(total(crowd), () => post('/batch', randomUUID()), crowd)] as const,
    ])
    const samples = await alternate(rounds, Object.fromEntries(arms), log)
    await app.close()
    await database.drop()
    return {
      figures: figuresOf(samples, 'requests/s'),
      rows: crowds.map((crowd) =>
        ratioRow(
          `clients-${String(crowd)}`,
          `\`batch\` ÷ \`atomic\`, ${String(crowd)} client${crowd === 1 ? '' : 's'}`,
          ratioOf(samples[`batch, ${String(crowd)}`], samples[`atomic, ${String(crowd)}`]),
          crowd < 32 ? null : atLeast(1.5),
        ),
      ),
      runs: rounds,
      notes: [
        'Injected without a socket; `atomic` on a pool of 16, `batch` with 32 requests at the most; every commit is durable.',
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
    const far = await farAway(database.url, roundTripMs)
    const farPool = database.pool({ max: clients, connectionString: far.url })
    const inbox = createInbox()
    const effect = `insert into bench_effects (note) select 'applied' from generate_series(1, $1::integer)`
    const total = Math.max(100, Math.round(3_000 * scale))
    const bare = (on: pg.Pool) => (): Promise<unknown> => inTransaction(on, (tx) => tx.query(effect, [1]))
    const once = (on: pg.Pool) => (): Promise<unknown> =>
      inbox.transact(on, { consumer: 'bench', messageId: randomUUID() }, (tx) => tx.query(effect, [1]).then(() => {}))
    const batch = (): Promise<unknown> => {
      const messages = Array.from({ length: batchSize }, () => ({ messageId: randomUUID() }))
      return inbox.transactBatch(pool, 'bench', messages, (tx, fresh) =>
        tx.query(effect, [fresh.length]).then(() => {}),
      )
    }
    for (const call of [once(pool), bare(pool)]) await perSecond(warmUpCalls, call)
    const samples = await alternate(
      rounds,
      {
        malote: () => perSecond(total, once(pool)),
        bare: () => perSecond(total, bare(pool)),
        batch: async () => batchSize * (await perSecond(Math.max(20, Math.round(total / 20)), batch)),
        'malote, 2 ms away': () => perSecond(total / 3, once(farPool)),
        'bare, 2 ms away': () => perSecond(total / 3, bare(farPool)),
      },
      log,
    )
    await database.drop()
    await far.close()
    return {
      figures: figuresOf(samples, 'messages/s'),
      rows: [
        ratioRow(
          'bare',
          '`inbox.transact` ÷ the bare transaction',
          ratioOf(samples.malote, samples.bare),
          atLeast(0.7),
          outrun('the transaction without an inbox'),
        ),
        ratioRow(
          'bare-2ms',
          '`inbox.transact` ÷ the bare transaction, 2 ms away from the database',
          ratioOf(samples['malote, 2 ms away'], samples['bare, 2 ms away']),
          atLeast(0.9),
          outrun('the transaction without an inbox'),
        ),
        ratioRow('batch', 'a batch of 100 ÷ one by one', ratioOf(samples.batch, samples.malote), atLeast(1)),
      ],
      runs: rounds,
      notes: [`${String(clients)} consumers; every transaction is durable.`],
    }
  },
}
