import { context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { createTelemetry } from '@malote/testing/telemetry'
import { describe, expect, it } from 'vitest'
import type { OutboxMessage } from '../../src/index.ts'
import { tracedPublisher } from '../../src/otel/index.ts'
import { anOutboxMessage, createMemoryBroker } from '../../src/testing/index.ts'
import { brokenProcessors } from './broken-processors.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const traceparent = `00-${traceId}-00f067aa0ba902b7-01`
const traced = (change: Partial<OutboxMessage> = {}) => anOutboxMessage({ headers: { traceparent }, ...change })
const signal = new AbortController().signal

function setup(...telemetryArguments: Parameters<typeof createTelemetry>) {
  const telemetry = createTelemetry(...telemetryArguments)
  const broker = createMemoryBroker()
  const publisher = tracedPublisher(broker, { tracer: telemetry.tracer, system: 'sqs' })
  return { ...telemetry, broker, publisher }
}

describe('the span of a publish', () => {
  it('is named, and says what the messaging conventions ask for', async () => {
    const { publisher, spans } = setup()

    await publisher.publish([traced({ topic: 'orders' }), traced({ topic: 'orders' })], signal)

    expect(spans()).toMatchObject([{ name: 'publish orders', kind: SpanKind.CLIENT, status: { code: 0 } }])
    expect(spans()[0]?.attributes).toEqual({
      'messaging.system.name': 'aws.sqs',
      'messaging.system': 'aws_sqs',
      'messaging.operation.name': 'publish',
      'messaging.operation.type': 'send',
      'messaging.batch.message_count': 2,
      'messaging.destination.name': 'orders',
    })
  })

  it('links to the context in which each message was added, and to nothing of the ordering key, the body or a header', async () => {
    const { publisher, spans } = setup()
    const secret = {
      orderingKey: 'secret-key',
      body: '"secret-body"',
      headers: { traceparent, tenant: 'secret-tenant' },
    }
    const batch = [traced({ topic: 'orders', ...secret }), anOutboxMessage(), traced({ topic: 'balances' })]

    await publisher.publish(batch, signal)

    const [span] = spans()
    expect(span?.links.map((link) => [link.context.traceId, link.attributes])).toEqual([
      [traceId, { 'messaging.message.id': batch[0]?.id, 'messaging.destination.name': 'orders' }],
      [traceId, { 'messaging.message.id': batch[2]?.id, 'messaging.destination.name': 'balances' }],
    ])
    expect(span?.name).toBe('publish')
    expect(span?.attributes['messaging.destination.name']).toBeUndefined()
    expect(JSON.stringify([span?.name, span?.attributes, span?.links, span?.events, span?.status])).not.toContain(
      'secret',
    )
  })

  it('lends its context to a message that has none, and changes none that has one', async () => {
    const { publisher, broker, spans } = setup()
    const [without, broken, stored] = [
      anOutboxMessage({ headers: { tenant: 'b3' } }),
      traced({ headers: { traceparent: 'nonsense' } }),
      traced(),
    ]

    await publisher.publish([without, broken, stored], signal)

    const own = spans()[0]?.spanContext()
    const lent = `00-${String(own?.traceId)}-${String(own?.spanId)}-01`
    expect(broker.accepted.map(({ headers }) => headers)).toEqual([
      { tenant: 'b3', traceparent: lent },
      { traceparent: lent },
      { traceparent },
    ])
    expect(spans()[0]?.kind).toBe(SpanKind.PRODUCER)
    expect(without.headers).toEqual({ tenant: 'b3' })
  })

  it('is a root, whatever was active when the relay was started, and is active for the client of the broker', async () => {
    const { publisher, broker, spans, tracer } = setup()
    broker.beforePublish(() => tracer.startSpan('of the client').end())
    const startup = tracer.startSpan('startup')

    await context.with(trace.setSpan(ROOT_CONTEXT, startup), () => publisher.publish([traced()], signal))

    const [client, publish] = spans()
    expect(publish?.parentSpanContext).toBeUndefined()
    expect(client?.parentSpanContext?.spanId).toBe(publish?.spanContext().spanId)
  })

  it('has failed when a message was not accepted, with the code and without the words of the broker', async () => {
    const { publisher, broker, spans } = setup()
    broker.failWith(({ topic }) =>
      topic === 'bad' ? { kind: 'permanent', code: 'TOO_LARGE', message: 'secret words' } : null,
    )

    const results = await publisher.publish([traced(), traced({ topic: 'bad' })], signal)

    expect(results.map(({ status }) => status)).toEqual(['accepted', 'failed'])
    expect(spans()[0]?.status).toEqual({
      code: SpanStatusCode.ERROR,
      message: '1 of 2 messages were not accepted',
    })
    expect(spans()[0]?.attributes['error.type']).toBe('TOO_LARGE')
  })

  it('has failed when the publisher rejects, and the rejection comes through', async () => {
    const { publisher, broker, spans } = setup()
    broker.goDown()

    await expect(publisher.publish([traced()], signal)).rejects.toThrow('the memory broker is down')

    expect(spans()).toMatchObject([{ status: { code: SpanStatusCode.ERROR } }])
    expect(spans()[0]?.attributes['error.type']).toBe('PUBLISH_OUTAGE')
  })
})

describe('the contract of the publisher', () => {
  it('a batch of none makes no span, and close and name are those of the publisher', async () => {
    const { publisher, spans } = setup()

    expect(await publisher.publish([], signal)).toEqual([])
    await publisher.close()

    expect(publisher.name).toBe('memory')
    await expect(publisher.publish([traced()], signal)).rejects.toMatchObject({ code: 'PUBLISHER_CLOSED' })
    expect(spans()).toHaveLength(1)
  })

  it.each(brokenProcessors)(
    'holds when telemetry throws as a span %s: published once, results as they are',
    async (_, broken) => {
      const { publisher, broker } = setup([broken])

      const results = await publisher.publish([traced(), anOutboxMessage()], signal)

      expect(results.map(({ status }) => status)).toEqual(['accepted', 'accepted'])
      expect(broker.batches).toHaveLength(1)
      broker.goDown()
      await expect(publisher.publish([traced()], signal)).rejects.toThrow('the memory broker is down')
    },
  )

  it('holds without an SDK, and messages are handed on untouched', async () => {
    const broker = createMemoryBroker()
    const batch = [traced(), anOutboxMessage({ headers: {} })]

    await tracedPublisher(broker).publish(batch, signal)

    expect(broker.accepted).toEqual(batch)
  })
})
