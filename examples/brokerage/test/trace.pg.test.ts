import { createTelemetry } from '@malote/testing/telemetry'
import { tracedHandler } from '@malote/outbox-core/otel'
import type { ReceivedMessage } from '@malote/outbox-core'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { createCpfCipher } from '../src/accounts/cpf.ts'
import { createApi } from '../src/api/app.ts'
import { createTokens } from '../src/api/tokens.ts'
import { demoSecret } from '../src/demo/accounts.ts'
import { closing, createWorkbench, delivery, fillingExchange, pursuing, type Workbench } from './workbench.ts'

const telemetry = createTelemetry()
telemetry.makeGlobal()
let bench: Workbench
beforeAll(async () => {
  bench = await createWorkbench(inject('postgresUrl'))
})
afterAll(() => bench.dispose())

/** What a broker would deliver: the message with the headers it was stored with. */
async function withHeaders(message: ReceivedMessage): Promise<ReceivedMessage> {
  const { rows } = await bench.pool.query('select headers from malote.messages where id = $1', [message.id])
  return { ...message, headers: rows[0].headers ?? {} }
}

it('one trace tells from the request to the ledger', async () => {
  const api = await createApi({
    db: bench.db,
    tokens: await createTokens({ secret: demoSecret }),
    cpf: createCpfCipher(demoSecret),
    pepper: demoSecret,
    orderTimeoutMs: 300_000,
    demo: true,
    requestsPerMinute: null,
    controlUrl: null,
  })
  const placed = await api.inject({
    method: 'POST',
    url: '/api/orders',
    headers: { authorization: 'Bearer token-of-test-0', 'idempotency-key': 'a-traced-order-of-ours' },
    payload: { amount: 1000, asset: 'PETR4', type: 'BUY' },
  })
  await api.close()
  const order = { orderId: placed.json().id } as Parameters<Workbench['messageOf']>[0]
  const traced = (handler: ReturnType<typeof closing>) => tracedHandler(handler, { system: 'test' })

  await traced(pursuing(bench.db, fillingExchange))(
    delivery(await withHeaders(await bench.messageOf(order, 'order-requests'))),
  )
  await traced(closing(bench.db))(delivery(await withHeaders(await bench.messageOf(order, 'order-outcomes'))))

  const spans = telemetry.spans()
  const names = spans.map(({ name }) => name)
  expect(names).toEqual(
    expect.arrayContaining(['POST /api/orders', 'process order-requests', 'process order-outcomes']),
  )
  expect(new Set(spans.map((span) => span.spanContext().traceId)).size).toBe(1)
  expect(await bench.stateOf(order)).toBe('SETTLED')
})
