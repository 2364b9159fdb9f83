import { createTelemetry, type Telemetry } from '@malote/testing/telemetry'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { createInbox, type Inbox, maintainInbox } from '../src/index.ts'
import { idempotencyMetrics, inboxMetrics } from '../src/otel.ts'
import { createOrders, idempotencyOn, placeOrder, send } from './callers.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

const dayMs = 86_400_000
let database: ConsumerDatabase
let pool: pg.Pool
let telemetry: Telemetry

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
})
beforeEach(async () => {
  telemetry = createTelemetry()
  await database.truncate('orders, malote.idempotency_keys, malote.processed_messages')
})
afterAll(() => database.drop())

describe('the metrics of an inbox', () => {
  let inbox: Inbox
  const deliver = (messageId: string, occurredAt = new Date()) =>
    inbox.transact(pool, { consumer: 'balance', messageId, occurredAt }, async () => {})

  beforeEach(() => {
    inbox = createInbox({ onEvent: inboxMetrics({ meter: telemetry.meter }) })
  })

  it('count messages by consumer and outcome, and tell how late duplicates come', async () => {
    await deliver('order-1')
    await deliver('order-2')
    await pool.query(`update malote.processed_messages set processed_at = now() - interval '3 days'`)
    await deliver('order-1')

    const consumer = { 'malote.consumer': 'balance' }
    expect(await telemetry.measurements('malote.inbox.messages')).toEqual([
      { attributes: { ...consumer, 'malote.outcome': 'processed' }, value: 2 },
      { attributes: { ...consumer, 'malote.outcome': 'duplicate' }, value: 1 },
    ])
    const [age] = await telemetry.measurements('malote.inbox.duplicate.age')
    expect(age).toMatchObject({ attributes: consumer, count: 1 })
    expect(age?.value).toBeGreaterThanOrEqual(3 * 86_400)
    expect(age?.value).toBeLessThan(3 * 86_400 + 60)
    expect(age?.bounds).toContain(14 * 86_400)
  })

  it('count proofs that were forgotten, and messages that come too late to be judged', async () => {
    const onEvent = inboxMetrics({ meter: telemetry.meter })
    await deliver('order-1', new Date(Date.now() - 20 * dayMs))
    await pool.query(`update malote.processed_messages set processed_at = now() - interval '20 days'`)

    await maintainInbox(pool, { onEvent })
    await expect(deliver('order-1', new Date(Date.now() - 20 * dayMs))).rejects.toMatchObject({ code: 'STALE_MESSAGE' })

    expect(await telemetry.measurements('malote.inbox.purged')).toEqual([{ attributes: {}, value: 1 }])
    const outcomes = await telemetry.measurements('malote.inbox.messages')
    expect(outcomes.map(({ attributes }) => attributes['malote.outcome'])).toEqual(['processed', 'stale'])
  })

  it('a copy in flight is counted as such', async () => {
    const [first, second] = [await database.client(), await database.client()]
    const message = { consumer: 'balance', messageId: 'order-1' }
    const deferring = createInbox({ inFlight: 'defer', onEvent: inboxMetrics({ meter: telemetry.meter }) })
    await first.query('begin')
    await deferring.once(first, message, async () => {})
    await second.query('begin')

    await expect(deferring.once(second, message, async () => {})).rejects.toMatchObject({ code: 'IN_FLIGHT' })

    const outcomes = await telemetry.measurements('malote.inbox.messages')
    expect(outcomes.map(({ attributes }) => attributes['malote.outcome'])).toEqual(['processed', 'in-flight'])
    await first.query('commit')
    await second.query('rollback')
  })

  it('a meter that throws costs no message its transaction', async () => {
    const broken = createTelemetry().meter
    broken.createCounter = () => ({
      add: () => {
        throw new Error('the meter broke')
      },
    })
    inbox = createInbox({ onEvent: inboxMetrics({ meter: broken }) })

    expect([await deliver('order-1'), await deliver('order-1')]).toEqual(['processed', 'duplicate'])
  })
})

describe('the metrics of idempotent requests', () => {
  it('count and time them by operation and outcome, and hold neither key nor caller', async () => {
    const onEvent = idempotencyMetrics({ meter: telemetry.meter, attributes: { service: 'api' } })
    const orders = idempotencyOn(pool, { onEvent }).atomic({ operation: 'createOrder' }, placeOrder)
    await send(orders)
    await send(orders)
    await send(orders, { body: { amount: 2000 } })
    await send(orders, { key: null })

    const requests = await telemetry.measurements('malote.idempotency.requests')
    const of = (outcome: string) => ({ service: 'api', 'malote.operation': 'createOrder', 'malote.outcome': outcome })
    expect(requests).toEqual([
      { attributes: of('executed'), value: 1 },
      { attributes: of('replayed'), value: 1 },
      { attributes: of('mismatch'), value: 1 },
      { attributes: of('refused'), value: 1 },
    ])
    const durations = await telemetry.measurements('malote.idempotency.request.duration')
    expect(durations).toMatchObject(requests.map(({ attributes }) => ({ attributes, count: 1 })))
    expect(durations[0]?.bounds?.[0]).toBe(0.005)
  })

  it('count leases taken over and lost, and what was forgotten', async () => {
    const onEvent = idempotencyMetrics({ meter: telemetry.meter })
    onEvent({ type: 'lease.taken-over', operation: 'buyNow', attempt: 2 })
    onEvent({ type: 'lease.lost', operation: 'buyNow', attempt: 1 })
    onEvent({ type: 'keys.purged', keys: 3, bodies: 5 })

    const operation = { 'malote.operation': 'buyNow' }
    expect(await telemetry.measurements('malote.idempotency.lease.takeovers')).toEqual([
      { attributes: operation, value: 1 },
    ])
    expect(await telemetry.measurements('malote.idempotency.lease.lost')).toEqual([{ attributes: operation, value: 1 }])
    expect(await telemetry.measurements('malote.idempotency.purged.keys')).toEqual([{ attributes: {}, value: 3 }])
    expect(await telemetry.measurements('malote.idempotency.purged.bodies')).toEqual([{ attributes: {}, value: 5 }])
  })
})
