import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api'
import { migrateIdempotency } from '@malote/idempotency'
import { migrate } from '@malote/outbox-core'
import {
  createMessageProcessor,
  decodeEnvelope,
  encodeEnvelope,
  resolveConsumerOptions,
} from '@malote/outbox-core/adapter'
import { aMessageInHand, createMemoryBroker } from '@malote/outbox-core/testing'
import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { createTelemetry } from '@malote/testing/telemetry'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { acceptOrder, consumerOptions, startRelay } from './observability.ts'

let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
})
afterAll(() => database.drop())

it('the snippets of the observability guide tell one story through the global SDK, and measure it', async () => {
  const telemetry = createTelemetry()
  telemetry.makeGlobal()
  const pool = database.pool()
  await migrate(pool)
  await migrateIdempotency(pool)
  await pool.query('create table balances (cents int); insert into balances values (150000)')
  const broker = createMemoryBroker()
  const processor = createMessageProcessor(resolveConsumerOptions(consumerOptions(pool)))
  const stop = startRelay({ pool, relayPool: database.pool(), publisher: broker })

  const request = telemetry.tracer.startSpan('POST /orders')
  await context.with(trace.setSpan(ROOT_CONTEXT, request), () => acceptOrder(pool, 100_000))
  const [sent] = await broker.received(1)
  if (sent === undefined) throw new Error('nothing was published')
  const wire = encodeEnvelope(sent, { prefix: 'ce-', source: '/orders' })
  const message = decodeEnvelope(wire, Buffer.from(sent.body), 'orders', 'ce-')
  for (const attempt of [1, 2]) await processor.process(aMessageInHand({ received: { message }, attempt }))

  expect((await pool.query('select cents from balances')).rows).toEqual([{ cents: 50_000 }])
  const processed = telemetry.spans().filter((span) => span.name === 'process orders')
  expect(processed.map((span) => span.parentSpanContext?.spanId)).toEqual(
    [1, 2].map(() => request.spanContext().spanId),
  )
  expect(await telemetry.measurements('malote.outbox.observed')).toMatchObject([{ value: 1 }])
  expect(await telemetry.measurements('malote.consumer.deliveries')).toMatchObject([{ value: 2 }])
  expect(await telemetry.measurements('malote.inbox.duplicate.age')).toMatchObject([{ count: 1 }])
  await stop()
  expect(await telemetry.measurements('malote.relay.published')).toMatchObject([{ value: 1 }])
})
