// `npm run test:runtimes` runs this on Bun and on Deno: every entry point, an HTTP request and its retry, a relay, a consumer with its inbox.
import { readFileSync } from 'node:fs'
import {
  createHandlers,
  createIdempotency,
  createInbox,
  idempotentFetch,
  migrateIdempotency,
} from '@malote/idempotency'
import { createOutbox, createRelay, defineCatalog, migrate } from '@malote/outbox-core'
import { createMemoryBroker } from '@malote/outbox-core/testing'
import pg from 'pg'
import { z } from 'zod'

const { Bun, Deno } = globalThis
const packages = ['outbox-core', 'idempotency', 'adapter-rabbitmq', 'adapter-kafka', 'adapter-sqs']
const entries = packages.flatMap((name) => {
  const manifest = JSON.parse(readFileSync(new URL(`../../../packages/${name}/package.json`, import.meta.url), 'utf8'))
  return Object.keys(manifest.exports).flatMap((entry) =>
    entry.endsWith('.json') ? [] : [`${manifest.name}${entry.slice(1)}`],
  )
})
for (const entry of entries)
  if (Object.keys(await import(entry)).length === 0) throw new Error(`${entry} exports nothing`)

const catalog = defineCatalog({ 'order.accepted': { topic: 'orders', schema: z.object({ asset: z.string() }) } })
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
await migrate(pool)
await migrateIdempotency(pool)
await pool.query('create table orders (asset text); create table sales (asset text)')

const broker = createMemoryBroker()
const relay = createRelay({ pool, publisher: broker })
const sell = ({ asset }, tx) => tx.query('insert into sales values ($1)', [asset])
const consumer = broker.createConsumer({
  topic: 'orders',
  handler: createHandlers(catalog, { 'order.accepted': sell }, { inbox: createInbox(), db: pool, consumer: 'sales' }),
})
relay.start()
await consumer.start()

const outbox = createOutbox({ catalog })
const secret = { pepper: 'a pepper of at least 16 bytes', tenant: () => 'acme', subject: () => 'alice' }
const handler = idempotentFetch(
  createIdempotency({ db: pool, ...secret }).atomic({ operation: 'createOrder' }, async ({ tx, request }) => {
    const order = await request.json()
    await tx.query('insert into orders values ($1)', [order.asset])
    await outbox.add(tx, { type: 'order.accepted', payload: order })
    return { status: 202, body: order }
  }),
)
const listen = { hostname: '127.0.0.1', port: 0 }
const server =
  Deno === undefined ? Bun.serve({ ...listen, fetch: handler }) : Deno.serve({ ...listen, onListen() {} }, handler)
const url = `http://127.0.0.1:${server.port ?? server.addr.port}/orders`
const headers = { 'idempotency-key': 'a-key-of-sixteen-or-more', 'content-type': 'application/json' }
const post = () => fetch(url, { method: 'POST', headers, body: '{"asset":"PETR4"}' })
const [first, retry] = [await post(), await post()]
const answers = [
  first.status,
  await first.text(),
  retry.status,
  await retry.text(),
  retry.headers.get('idempotency-replayed'),
]
await broker.received(1)
broker.redeliver()
await broker.settled()
const { rows } = await pool.query(
  'select (select count(*)::int from orders) orders, (select count(*)::int from sales) sales',
)

await (Deno === undefined ? server.stop(true) : server.shutdown())
await consumer.stop()
await relay.stop()
const { rowCount: owned } = await pool.query('select 1 from malote.lanes where owner is not null')
await pool.end()
const seen = JSON.stringify([...answers, rows[0], owned])
const expected = JSON.stringify([
  202,
  '{"asset":"PETR4"}',
  202,
  '{"asset":"PETR4"}',
  'true',
  { orders: 1, sales: 1 },
  0,
])
if (seen !== expected) throw new Error(`expected ${expected}, but saw ${seen}`)
console.log(
  `${Deno === undefined ? `Bun ${Bun.version}` : `Deno ${Deno.version.deno}`}: ${entries.length} entry points, a request and its retry, relay and inbox`,
)
