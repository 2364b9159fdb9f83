import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SQSClient } from '@aws-sdk/client-sqs'
import type { SqsLambdaRecord } from '@malote/adapter-sqs'
import { migrateIdempotency } from '@malote/idempotency'
import { createOutbox, createRelay, migrate, type Outbox } from '@malote/outbox-core'
import { createMemoryBroker } from '@malote/outbox-core/testing'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import pg from 'pg'
import { afterAll, beforeAll, expect, inject, it, onTestFinished } from 'vitest'
import { createOrdersApp } from './express.ts'
import { createOrdersHandler } from './fetch.ts'
import { createOrdersApp as createHonoApp } from './hono.ts'
import { createRelayFunction } from './lambda.ts'
import { createSalesFunction } from './lambda-consumer.ts'
import { createOrdersFunction } from './lambda-http.ts'
import { runService } from './run-service.ts'

let database: TestDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  await migrate(pool)
  await migrateIdempotency(pool)
  await pool.query('create table orders (id bigint generated always as identity primary key, asset text not null)')
})
afterAll(() => database.drop())

async function add(outbox: Outbox): Promise<void> {
  const tx = await pool.connect()
  await tx.query('begin')
  await outbox.add(tx, { topic: 'orders', type: 'order.accepted', payload: {} })
  await tx.query('commit')
  tx.release()
}

it('the scheduled function publishes what is due, each time it runs', async () => {
  const run = createRelayFunction(pool, createMemoryBroker())
  await add(createOutbox())

  expect([await run(), await run()].map(({ published }) => published)).toEqual([1, 0])
})

it('the function that consumes books a sale once, and reports what must come again', async () => {
  await pool.query('create table sales (order_id text, cents int)')
  const sqs = new SQSClient({ region: 'us-east-1', endpoint: 'http://127.0.0.1:1' }) // Nothing dies here.
  const sell = createSalesFunction(pool, sqs, 'http://127.0.0.1:1/dead-orders')
  const good = aRecord('0199d6a6-0000-7000-8000-000000000001', { orderId: 'order-1', cents: 500 })
  const unfit = aRecord('0199d6a6-0000-7000-8000-000000000002', { orderId: 'order-2' })

  await sell({ Records: [good] })
  const { batchItemFailures } = await sell({ Records: [good, unfit] })

  expect(batchItemFailures).toEqual([{ itemIdentifier: unfit.messageId }])
  expect((await pool.query('select * from sales')).rows).toEqual([{ order_id: 'order-1', cents: 500 }])
})

/** As AWS hands over what the publisher sent. */
function aRecord(id: string, payload: object): SqsLambdaRecord {
  const text = (stringValue: string): { stringValue: string; dataType: string } => ({ stringValue, dataType: 'String' })
  return {
    messageId: `sqs-${id}`,
    receiptHandle: 'receipt',
    body: JSON.stringify(payload),
    attributes: { ApproximateReceiveCount: '1', SentTimestamp: '1764000000000' },
    messageAttributes: {
      'ce-specversion': text('1.0'),
      'ce-id': text(id),
      'ce-type': text('order.accepted'),
      'ce-source': text('/shop'),
      'ce-time': text('2026-11-28T12:00:00.000Z'),
      'content-type': text('application/json'),
    },
    eventSourceARN: 'arn:aws:sqs:us-east-1:000000000000:orders',
  }
}

const headers = { 'content-type': 'application/json', 'x-user': 'alice' }
const pepper = 'a pepper of at least 16 bytes'
const ordersOf = async (asset: string): Promise<number> =>
  (await pool.query('select 1 from orders where asset = $1', [asset])).rowCount ?? 0

const json = '{"asset":"PETR4"}'
const request = (key: string) => ({ method: 'POST', headers: { ...headers, 'idempotency-key': key }, body: json })

it('a fetch-style server accepts an order once, and sends its answer again', async () => {
  const serve = createOrdersHandler(pool, pepper)
  const post = () => serve(new Request('http://127.0.0.1/orders', request('a-key-of-a-fetch-server')))

  const [first, retry] = [await post(), await post()]

  expect([first.status, retry.status, retry.headers.get('idempotency-replayed')]).toEqual([202, 202, 'true'])
  expect([await retry.text(), await ordersOf('PETR4')]).toEqual([await first.text(), 1])
})

it('Express accepts an order once, and sends its answer again', async () => {
  const server = createOrdersApp(pool, pepper).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/orders`
  const before = await ordersOf('PETR4')
  const post = () => fetch(url, request('a-key-of-an-express-app'))

  const [first, retry] = [await post(), await post()]

  expect([first.status, retry.status, retry.headers.get('idempotency-replayed')]).toEqual([202, 202, 'true'])
  expect([await retry.text(), await ordersOf('PETR4')]).toEqual([await first.text(), before + 1])
})

it('Hono accepts an order once, and sends its answer again', async () => {
  const app = createHonoApp(pool, pepper)
  const before = await ordersOf('PETR4')
  const post = async () => app.request('/orders', request('a-key-of-a-hono-app-here'))

  const [first, retry] = [await post(), await post()]

  expect([first.status, retry.status, retry.headers.get('idempotency-replayed')]).toEqual([202, 202, 'true'])
  expect([await retry.text(), await ordersOf('PETR4')]).toEqual([await first.text(), before + 1])
})

it('a service that is told to stop answers what is under way first, and ends its pools last', async () => {
  const order: string[] = []
  const pools = [new pg.Pool({ connectionString: database.url })]
  const broker = createMemoryBroker()
  const note = ({ type }: { readonly type: string }) => void (/stopped/.test(type) && order.push(type))
  const relay = createRelay({ pool: pools[0] as pg.Pool, publisher: broker, onEvent: note })
  const consumer = broker.createConsumer({ topic: 'orders', handler: async () => {}, onEvent: note })
  const arrived = Promise.withResolvers<() => void>()
  const server = createServer((_, response) => arrived.resolve(() => void response.end('done')))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const ended = runService({ server, consumer, relay, publisher: broker, pools }).then(() => order.push('ended'))
  const answer = fetch(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}`)
  const finish = await arrived.promise

  process.emit('SIGTERM')
  order.push('told')
  finish()

  expect(await (await answer).text()).toBe('done')
  await ended
  expect(order).toEqual(['told', 'consumer.stopped', 'relay.stopped', 'ended'])
  expect(pools.map((each) => each.ended)).toEqual([true])
})

interface FunctionAnswer {
  readonly statusCode: number
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

it('the HTTP function accepts an order once, and sends its answer again', async () => {
  const call = createOrdersFunction(pool, pepper) as unknown as (event: object) => Promise<FunctionAnswer>
  const event = {
    version: '2.0',
    routeKey: '$default',
    rawPath: '/orders',
    rawQueryString: '',
    headers: { ...headers, 'idempotency-key': 'a-key-of-an-http-function' },
    requestContext: { domainName: 'shop.example', http: { method: 'POST', path: '/orders' } },
    body: '{"asset":"VALE3"}',
    isBase64Encoded: false,
  }

  const [first, retry] = [await call(event), await call(event)]

  expect([first.statusCode, retry.statusCode, retry.headers?.['idempotency-replayed']]).toEqual([202, 202, 'true'])
  expect([retry.body, await ordersOf('VALE3')]).toEqual([first.body, 1])
})
