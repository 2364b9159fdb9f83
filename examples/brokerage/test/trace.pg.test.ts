import { createTelemetry } from '@malote/testing/telemetry'
import { tracedHandler } from '@malote/outbox-core/otel'
import type { DeliveryHandler, ReceivedMessage, StreamHandler } from '@malote/outbox-core'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, beforeEach, expect, inject, it } from 'vitest'
import { createCpfCipher } from '../src/accounts/cpf.ts'
import { createApi } from '../src/api/app.ts'
import { createTokens } from '../src/api/tokens.ts'
import { demoSecret } from '../src/demo/accounts.ts'
import { closing, createWorkbench, delivery, fillingExchange, pursuing, type Workbench } from './workbench.ts'

const telemetry = createTelemetry()
telemetry.makeGlobal()
let bench: Workbench
let api: FastifyInstance
beforeAll(async () => {
  bench = await createWorkbench(inject('postgresUrl'))
  api = await createApi({
    db: bench.db,
    pool: bench.pool,
    tokens: await createTokens({ secret: demoSecret }),
    cpf: createCpfCipher(demoSecret),
    pepper: demoSecret,
    orderTimeoutMs: 300_000,
    demo: true,
    requestsPerMinute: null,
    controlUrl: null,
  })
})
let before = 0
beforeEach(() => {
  before = telemetry.spans().length
})
afterAll(async () => {
  await api.close()
  await bench.dispose()
})

type Placed = Parameters<Workbench['messageOf']>[0]
let keys = 0
const traceOf = ({ traceparent = '' }: Readonly<Record<string, string>>) => traceparent.split('-')[1]
async function place(account: number): Promise<Placed> {
  const placed = await api.inject({
    method: 'POST',
    url: '/api/orders',
    headers: {
      authorization: `Bearer token-of-test-${String(account)}`,
      'idempotency-key': `a-traced-order-${String(++keys)}`,
    },
    payload: { amount: 1000, asset: 'PETR4', type: 'BUY' },
  })
  return { orderId: placed.json().id } as Placed
}
const traced = (handler: DeliveryHandler) => tracedHandler(handler, { system: 'test' })
const deliver = async (order: Placed, topic: string, handler: DeliveryHandler) =>
  handler(delivery(await withHeaders(await bench.messageOf(order, topic))))
const spans = () => telemetry.spans().slice(before)
const tracesOf = () => new Set(spans().map((span) => span.spanContext().traceId))

/** What a broker would deliver: the message with the headers it was stored with. */
async function withHeaders(message: ReceivedMessage): Promise<ReceivedMessage> {
  const { rows } = await bench.pool.query('select headers from malote.messages where id = $1', [message.id])
  return { ...message, headers: rows[0].headers ?? {} }
}

it('one trace tells from the request to the ledger', async () => {
  const order = await place(0)

  await deliver(order, 'order-requests', traced(pursuing(bench.pool, fillingExchange)))
  await deliver(order, 'order-outcomes', traced(closing(bench.pool)))

  expect(spans().map(({ name }) => name)).toEqual(
    expect.arrayContaining(['POST /api/orders', 'process order-requests', 'process order-outcomes']),
  )
  expect(tracesOf().size).toBe(1)
  expect(await bench.stateOf(order)).toBe('SETTLED')
})

it('orders that share their transactions keep a trace each', async () => {
  const orders = await Promise.all([place(1), place(2), place(3)])
  const [pursue, close] = [traced(pursuing(bench.pool, fillingExchange)), traced(closing(bench.pool))]

  await Promise.all(orders.map((order) => deliver(order, 'order-requests', pursue)))
  await Promise.all(orders.map((order) => deliver(order, 'order-outcomes', close)))

  const roots = spans().filter(({ name }) => name === 'POST /api/orders')
  const results = await Promise.all(
    orders.map(async (order) => (await withHeaders(await bench.messageOf(order, 'order-results'))).headers),
  )
  expect(tracesOf()).toEqual(new Set(roots.map((span) => span.spanContext().traceId)))
  expect(new Set(results.map((headers) => traceOf(headers as Record<string, string>))).size).toBe(3)
})

it('orders of one account that are applied together keep a trace each', async () => {
  const orders = [await place(4), await place(4)]
  const together = async (topic: string, handler: StreamHandler) => {
    const messages = await Promise.all(orders.map(async (order) => withHeaders(await bench.messageOf(order, topic))))
    await (traced(handler) as StreamHandler).byStream.run(messages.map((message) => delivery(message)))
    return messages.map(({ headers }) => traceOf(headers))
  }

  const requested = await together('order-requests', pursuing(bench.pool, fillingExchange))
  const decided = await together('order-outcomes', closing(bench.pool))

  expect(new Set(requested).size).toBe(2)
  expect(decided).toEqual(requested)
  for (const [at, order] of orders.entries())
    expect(traceOf((await withHeaders(await bench.messageOf(order, 'order-results'))).headers)).toBe(requested[at])
})
