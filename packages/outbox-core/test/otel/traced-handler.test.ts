import { context, type Span, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { createTelemetry } from '@malote/testing/telemetry'
import { describe, expect, it } from 'vitest'
import { decodeEnvelope, encodeEnvelope } from '../../src/adapter/index.ts'
import { type Delivery, type DeliveryHandler, inBatches, type StreamHandler } from '../../src/index.ts'
import { currentTraceContext, tracedHandler, type TracedHandlerOptions } from '../../src/otel/index.ts'
import { anOutboxMessage } from '../../src/testing/index.ts'
import { brokenProcessors } from './broken-processors.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'
const headers = { traceparent: `00-${traceId}-${spanId}-01`, tenant: 'secret-tenant' }

function aDelivery(change: Parameters<typeof anOutboxMessage>[0] = {}): Delivery {
  const sent = anOutboxMessage({
    topic: 'orders',
    type: 'order.accepted',
    orderingKey: 'secret-key',
    headers,
    ...change,
  })
  const wire = encodeEnvelope(sent, { prefix: 'ce-', source: '/test' })
  const message = decodeEnvelope(wire, Buffer.from('"secret-body"'), sent.topic, 'ce-')
  return { message, attempt: 2, signal: new AbortController().signal }
}

function setup(options: Partial<TracedHandlerOptions> = {}, ...telemetryArguments: Parameters<typeof createTelemetry>) {
  const telemetry = createTelemetry(...telemetryArguments)
  const wrap = (handler: DeliveryHandler) =>
    tracedHandler(handler, { tracer: telemetry.tracer, system: 'kafka', ...options })
  const within = (span: Span, work: () => Promise<void>) => context.with(trace.setSpan(ROOT_CONTEXT, span), work)
  return { ...telemetry, wrap, within }
}

describe('the span of a delivery', () => {
  it('is named, says what the conventions ask for, and nothing of the ordering key, the body or a header', async () => {
    const { wrap, spans } = setup()
    const delivery = aDelivery()

    await wrap(async () => {})(delivery)

    const [span] = spans()
    expect(span).toMatchObject({ name: 'process orders', kind: SpanKind.CONSUMER, status: { code: 0 } })
    expect(span?.attributes).toEqual({
      'messaging.system.name': 'kafka',
      'messaging.system': 'kafka',
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
      'messaging.destination.name': 'orders',
      'messaging.message.id': delivery.message.id,
      'malote.message.type': 'order.accepted',
      'malote.attempt': 2,
    })
  })

  it('goes on with the trace in which the message was added, whatever span was active; both are linked', async () => {
    const { wrap, within, tracer, spans } = setup()
    const startup = tracer.startSpan('startup')

    await within(startup, () => wrap(async () => {})(aDelivery()))

    expect(spans()[0]?.parentSpanContext).toMatchObject({ traceId, spanId })
    expect(spans()[0]?.links.map((link) => link.context.spanId)).toEqual([spanId, startup.spanContext().spanId])
  })

  it('with parent "active" is a child of the active span, and the message is linked', async () => {
    const { wrap, within, tracer, spans } = setup({ parent: 'active' })
    const receive = tracer.startSpan('receive')

    await within(receive, () => wrap(async () => {})(aDelivery()))

    expect(spans()[0]?.parentSpanContext?.spanId).toBe(receive.spanContext().spanId)
    expect(spans()[0]?.links.map((link) => link.context.spanId)).toEqual([spanId])
  })

  it('of a message that was added outside any span begins a trace of its own', async () => {
    const { wrap, within, tracer, spans } = setup()

    await within(tracer.startSpan('startup'), () => wrap(async () => {})(aDelivery({ headers: {} })))

    expect(spans()[0]?.parentSpanContext).toBeUndefined()
  })

  it('is active in the handler, across what it waits for: a message it adds carries this span', async () => {
    const { wrap, spans } = setup()
    let added = {}

    await wrap(async () => {
      await Promise.resolve()
      added = currentTraceContext()
    })(aDelivery())

    expect(added).toEqual({ traceparent: `00-${traceId}-${String(spans()[0]?.spanContext().spanId)}-01` })
  })

  it('has failed when the handler throws, with a code and without its words, and the error comes through', async () => {
    const { wrap, spans } = setup()
    const error = Object.assign(new Error('secret words of the payload'), { code: '40001' })

    const failing = wrap(async () => {
      throw error
    })

    await expect(failing(aDelivery())).rejects.toBe(error)
    const [span] = spans()
    expect(span).toMatchObject({ status: { code: SpanStatusCode.ERROR }, events: [] })
    expect(span?.attributes['error.type']).toBe('40001')
    expect(JSON.stringify([span?.name, span?.attributes, span?.links, span?.status])).not.toContain('secret')
  })
})

describe('the span of a batch of a stream', () => {
  const batches = (handler: DeliveryHandler) => (handler as StreamHandler).byStream
  const otherTrace = 'a'.repeat(32)
  const pair = (): [Delivery, Delivery] => [
    aDelivery(),
    aDelivery({ headers: { traceparent: `00-${otherTrace}-${spanId}-01` } }),
  ]

  it('is one, linked to where each message was added and to the active span, and belongs to no trace of theirs', async () => {
    const { wrap, within, tracer, spans } = setup()
    const startup = tracer.startSpan('startup')
    const deliveries = pair()
    const calls: (readonly Delivery[])[] = []
    let added = {}
    const handler = wrap(
      inBatches(
        async (given) => {
          calls.push(given)
          added = currentTraceContext()
        },
        { byStream: true, maxSize: 7, maxBytes: 70 },
      ),
    )

    await within(startup, async () => void (await batches(handler).run(deliveries)))

    expect(batches(handler)).toMatchObject({ maxSize: 7, maxBytes: 70 })
    expect(calls).toEqual([deliveries])
    const [span, ...others] = spans()
    expect(others).toEqual([])
    expect(span).toMatchObject({ name: 'process orders', kind: SpanKind.CONSUMER, status: { code: 0 } })
    expect(span?.parentSpanContext).toBeUndefined()
    expect(span?.attributes).toEqual({
      'messaging.system.name': 'kafka',
      'messaging.system': 'kafka',
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
      'messaging.destination.name': 'orders',
      'messaging.batch.message_count': 2,
    })
    expect(span?.links.map((link) => [link.context.traceId, link.attributes?.['messaging.message.id']])).toEqual([
      [startup.spanContext().traceId, undefined],
      [traceId, deliveries[0].message.id],
      [otherTrace, deliveries[1].message.id],
    ])
    const own = span?.spanContext()
    expect(added).toEqual({ traceparent: `00-${String(own?.traceId)}-${String(own?.spanId)}-01` })
  })

  it('names no topic when there are several, and each on its link', async () => {
    const { wrap, spans } = setup()
    const [first, second] = pair()
    const other = { ...second, message: { ...second.message, topic: 'balances' } }

    await batches(wrap(inBatches(async () => {}, { byStream: true }))).run([first, other])

    expect(spans()).toMatchObject([{ name: 'process' }])
    expect(spans()[0]?.attributes).not.toHaveProperty('messaging.destination.name')
    const topics = spans()[0]?.links.map(({ attributes }) => attributes?.['messaging.destination.name'])
    expect(topics).toEqual(['orders', 'balances'])
  })

  it('with parent "active" is a child of the active span', async () => {
    const { wrap, within, tracer, spans } = setup({ parent: 'active' })
    const receive = tracer.startSpan('receive')
    const handler = wrap(inBatches(async () => {}, { byStream: true }))

    await within(receive, async () => void (await batches(handler).run(pair())))

    expect(spans()[0]?.parentSpanContext?.spanId).toBe(receive.spanContext().spanId)
    expect(spans()[0]?.links.map((link) => link.context.traceId)).toEqual([traceId, otherTrace])
  })

  it('has failed when not all was applied, without words of an error, and the outcomes come through', async () => {
    const { wrap, spans } = setup()
    const reason = Object.assign(new Error('secret words'), { code: '40001' })
    const outcomes = [
      { status: 'fulfilled', value: undefined },
      { status: 'rejected', reason },
    ] as const

    expect(await batches(wrap(inBatches(async () => outcomes, { byStream: true }))).run(pair())).toBe(outcomes)
    const throwing = inBatches(() => Promise.reject(reason), { byStream: true })
    await expect(batches(wrap(throwing)).run(pair())).rejects.toBe(reason)

    expect(spans().map(({ status, attributes }) => [status, attributes['error.type']])).toEqual([
      [{ code: SpanStatusCode.ERROR, message: '1 of 2 messages were not applied' }, '40001'],
      [{ code: SpanStatusCode.ERROR }, '40001'],
    ])
    expect(JSON.stringify(spans().map(({ name, attributes, links }) => [name, attributes, links]))).not.toContain(
      'secret',
    )
  })

  it('is not there for a message alone, which has a span of its own, nor for a handler that takes no batches', async () => {
    const { wrap, spans } = setup()

    await wrap(inBatches(async () => {}, { byStream: true }))(aDelivery())

    expect(spans().map(({ attributes }) => attributes['malote.attempt'])).toEqual([2])
    expect('byStream' in wrap(async () => {})).toBe(false)
  })

  it.each(brokenProcessors)('keeps the contract when telemetry throws as a span %s', async (_, broken) => {
    const { wrap } = setup({}, [broken])
    let calls = 0

    await batches(wrap(inBatches(async () => void calls++, { byStream: true }))).run(pair())

    expect(calls).toBe(1)
  })
})

describe('the contract of the handler', () => {
  it.each(brokenProcessors)(
    'holds when telemetry throws as a span %s: called once, outcome as it is',
    async (_, broken) => {
      const { wrap } = setup({}, [broken])
      let calls = 0

      await wrap(async () => void calls++)(aDelivery())

      expect(calls).toBe(1)
      const failing = wrap(async () => {
        throw new TypeError('its own')
      })
      await expect(failing(aDelivery())).rejects.toThrow('its own')
    },
  )

  it('holds without an SDK', async () => {
    const seen: Delivery[] = []
    const delivery = aDelivery()

    await tracedHandler(async (given) => void seen.push(given), { system: 'kafka' })(delivery)

    expect(seen).toEqual([delivery])
  })
})
