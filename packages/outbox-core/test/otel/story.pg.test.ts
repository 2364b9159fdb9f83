import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api'
import { createTelemetry, type SpanProcessor, type Telemetry } from '@malote/testing/telemetry'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import {
  createMessageProcessor,
  decodeEnvelope,
  encodeEnvelope,
  resolveConsumerOptions,
} from '../../src/adapter/index.ts'
import { createOutbox, type DeliveryHandler, type OutboxMessage, type RelayEvent } from '../../src/index.ts'
import {
  consumerMetrics,
  currentTraceContext,
  relayMetrics,
  tracedHandler,
  tracedPublisher,
} from '../../src/otel/index.ts'
import { aMessageInHand, createMemoryBroker, createRecordingObserver } from '../../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from '../relay-bench.ts'
import { brokenProcessors } from './broken-processors.ts'

let bench: RelayBench

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(() => bench.reset())
afterAll(() => bench.database.drop())

const outbox = createOutbox({ traceContext: currentTraceContext })

/** Adds a message of the topic in a transaction of its own. */
async function add(topic: string): Promise<void> {
  const client = await bench.as.writer.connect()
  await client.query('begin')
  await outbox.add(client, aMessage({ topic, orderingKey: 'secret-key', payload: 'secret-payload' }))
  await client.query('commit')
  client.release()
}

/** Carries what is in the outbox to a memory broker, over a traced publisher. */
function carrier(telemetry: Telemetry) {
  const broker = createMemoryBroker()
  const publisher = tracedPublisher(broker, { tracer: telemetry.tracer })
  const observer = createRecordingObserver<RelayEvent>()
  const measure = relayMetrics({ meter: telemetry.meter })
  const onEvent = (event: RelayEvent) => {
    measure(event)
    observer.onEvent(event)
  }
  const { relay } = bench.relay({ publisher, onEvent })
  return { broker, relay, observer }
}

/** Brings a message to a traced handler as a broker would: through headers and bytes. */
async function consume(telemetry: Telemetry, sent: OutboxMessage, handler: DeliveryHandler): Promise<void> {
  const wire = encodeEnvelope(sent, { prefix: 'ce-', source: '/test' })
  const message = decodeEnvelope(wire, Buffer.from(sent.body), sent.topic, 'ce-')
  const traced = tracedHandler(handler, { tracer: telemetry.tracer, system: 'memory' })
  const options = resolveConsumerOptions({ handler: traced, onEvent: consumerMetrics({ meter: telemetry.meter }) })
  expect(await createMessageProcessor(options).process(aMessageInHand({ received: { message } }))).toBe('settled')
}

describe('one story', () => {
  it('a request, the message it added, its handler and the message that added are one trace, and publishes link to it', async () => {
    const telemetry = createTelemetry()
    const { broker, relay } = carrier(telemetry)

    const request = telemetry.tracer.startSpan('POST /orders')
    await context.with(trace.setSpan(ROOT_CONTEXT, request), () => add('orders'))
    request.end()
    await relay.runOnce()
    await consume(telemetry, broker.accepted[0] as OutboxMessage, () => add('balances'))
    await relay.runOnce()
    await consume(telemetry, broker.accepted[1] as OutboxMessage, async () => {})

    const story = telemetry.spans().map((span) => span.name)
    expect(story).toEqual(['POST /orders', 'publish orders', 'process orders', 'publish balances', 'process balances'])
    const [posted, publish1, process1, publish2, process2] = telemetry.spans()
    const idOf = (span: typeof posted) => span?.spanContext().spanId
    const { traceId } = request.spanContext()
    expect([process1, process2].map((span) => span?.spanContext().traceId)).toEqual([traceId, traceId])
    expect(process1?.parentSpanContext?.spanId).toBe(idOf(posted))
    expect(process2?.parentSpanContext?.spanId).toBe(idOf(process1))
    expect(publish1?.links.map((link) => link.context.spanId)).toEqual([idOf(posted)])
    expect(publish2?.links.map((link) => link.context.spanId)).toEqual([idOf(process1)])
  })

  it('a message added outside any span begins its trace at the publish', async () => {
    const telemetry = createTelemetry()
    const { broker, relay } = carrier(telemetry)

    await add('orders')
    await relay.runOnce()
    await consume(telemetry, broker.accepted[0] as OutboxMessage, async () => {})

    const [publish, process] = telemetry.spans()
    expect(process?.parentSpanContext?.spanId).toBe(publish?.spanContext().spanId)
    expect(publish?.parentSpanContext).toBeUndefined()
  })

  it('nothing of payloads and ordering keys is in any span or measurement', async () => {
    const telemetry = createTelemetry()
    const { broker, relay } = carrier(telemetry)
    broker.failWith(({ attempt }) =>
      attempt === 1 ? { kind: 'permanent', code: 'NO', message: 'secret words' } : null,
    )

    await add('orders')
    await relay.runOnce()

    const told: unknown[] = telemetry
      .spans()
      .map(({ attributes, links, events, status }) => [attributes, links, events, status])
    for (const name of await telemetry.instruments()) told.push(await telemetry.measurements(name))
    expect(told.length).toBeGreaterThan(3)
    expect(JSON.stringify(told)).not.toContain('secret')
  })
})

describe('measuring', () => {
  it('what a relay did is counted: published, retried, dead, held, lanes', async () => {
    const telemetry = createTelemetry()
    const { broker, relay } = carrier(telemetry)
    broker.failWith(({ topic, attempt }) =>
      topic === 'bad'
        ? { kind: 'permanent', code: 'TOO_LARGE', message: 'no' }
        : topic === 'late' && attempt === 1
          ? { kind: 'retryable', code: 'NACK', message: 'no' }
          : null,
    )
    for (const topic of ['good', 'good', 'bad', 'late']) await add(topic)

    const report = await relay.runOnce()

    const sum = async (name: string) =>
      (await telemetry.measurements(`malote.relay.${name}`)).reduce((total, { value }) => total + value, 0)
    expect(await sum('published')).toBe(report.published)
    expect(await sum('retries')).toBe(1)
    expect(await telemetry.measurements('malote.relay.dead_letters')).toMatchObject([
      {
        attributes: { 'messaging.destination.name': 'bad', 'malote.reason': 'PERMANENT', 'error.type': 'TOO_LARGE' },
        value: 1,
      },
    ])
    expect(await sum('held_keys')).toBe(1)
    expect(await sum('rescan.found_missed')).toBe(0)
    expect(await telemetry.measurements('malote.relay.lane_handovers')).toMatchObject([
      { attributes: { 'malote.outcome': 'acquired' }, value: 64 },
    ])
  })

  it('an outage of the broker shows while it lasts and is measured when it ends', async () => {
    const telemetry = createTelemetry()
    const { broker, relay, observer } = carrier(telemetry)
    broker.goDown()
    await add('orders')
    relay.start()
    await observer.waitFor('outage.started')
    expect(await telemetry.measurements('malote.relay.broker_out')).toMatchObject([{ value: 1 }])

    broker.goUp()

    await observer.waitFor('outage.ended')
    expect(await telemetry.measurements('malote.relay.broker_out')).toMatchObject([{ value: 0 }])
    expect(await telemetry.measurements('malote.relay.outages')).toMatchObject([{ value: 1 }])
    expect(await telemetry.measurements('malote.relay.outage.duration')).toMatchObject([{ count: 1 }])
  })

  it('a session that is lost is counted with its lanes', async () => {
    const telemetry = createTelemetry()
    const { relay, observer } = carrier(telemetry)
    relay.start()
    await observer.waitFor('lanes.acquired')

    await bench.pool.query(`
      select pg_terminate_backend(pid) from pg_locks join pg_database on pg_database.oid = pg_locks.database
      where locktype = 'advisory' and datname = current_database()`)

    await observer.waitFor('database.reconnected')
    expect(await telemetry.measurements('malote.relay.sessions_lost')).toMatchObject([
      { attributes: { 'malote.reason': 'connection-lost' }, value: 1 },
    ])
    const handovers = await telemetry.measurements('malote.relay.lane_handovers')
    expect(handovers.find(({ attributes }) => attributes['malote.outcome'] === 'lost')).toMatchObject({ value: 64 })
  })

  it.each<readonly [string, SpanProcessor]>(brokenProcessors)(
    'a relay goes on when telemetry throws as a span %s: no retry, no outage, no duplicate',
    async (_, broken) => {
      const telemetry = createTelemetry([broken])
      const { broker, relay } = carrier(telemetry)
      await add('orders')
      await add('orders')

      expect(await relay.runOnce()).toEqual({ published: 2, retried: 0, deadLettered: 0, isBrokerOut: false })

      expect(broker.accepted).toHaveLength(2)
      expect(await bench.count('messages')).toBe(0)
    },
  )
})
