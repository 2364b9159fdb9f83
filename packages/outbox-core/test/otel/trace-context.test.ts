import { context, createTraceState, ROOT_CONTEXT, type SpanContext, trace, TraceFlags } from '@opentelemetry/api'
import { createTelemetry } from '@malote/testing/telemetry'
import { expect, it } from 'vitest'
import { currentTraceContext } from '../../src/otel/index.ts'
import { creationContextOf, traceHeadersOf } from '../../src/otel/trace-context.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'
const sampled = `00-${traceId}-${spanId}-01`
createTelemetry()

it('the active span becomes W3C headers, with its vendor state when it has one', () => {
  const span: SpanContext = { traceId, spanId, traceFlags: TraceFlags.SAMPLED }
  const within = (active: SpanContext) => context.with(trace.setSpanContext(ROOT_CONTEXT, active), currentTraceContext)

  expect(within(span)).toEqual({ traceparent: sampled })
  expect(within({ ...span, traceState: createTraceState('rojo=1,congo=2') })).toEqual({
    traceparent: sampled,
    tracestate: 'rojo=1,congo=2',
  })
  expect(within({ ...span, traceFlags: TraceFlags.NONE })).toEqual({ traceparent: `00-${traceId}-${spanId}-00` })
})

it('outside any span there is nothing to store, and a span that cannot tell its context is none', () => {
  const broken = {
    spanContext: () => {
      throw new Error('broken on purpose')
    },
  }

  expect(currentTraceContext()).toEqual({})
  expect(context.with(ROOT_CONTEXT.setValue(Symbol('other'), 1), currentTraceContext)).toEqual({})
  expect(context.with(trace.setSpan(ROOT_CONTEXT, broken as never), currentTraceContext)).toEqual({})
})

it('headers lead back to the span they were written from', () => {
  const span = { traceId, spanId, traceFlags: TraceFlags.SAMPLED, traceState: createTraceState('rojo=1') }

  const read = creationContextOf(traceHeadersOf(span))

  expect(read).toMatchObject({ traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true })
  expect(read?.traceState?.get('rojo')).toBe('1')
})

it.each([
  ['a later version with more fields', `01-${traceId}-${spanId}-01-more`],
  ['flags this version has no meaning for', `00-${traceId}-${spanId}-ff`],
])('%s is read', (_, traceparent) => {
  expect(creationContextOf({ traceparent })).toMatchObject({ traceId, spanId })
})

it.each([
  ['nothing', undefined],
  ['another format', '463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1'],
  ['upper case', sampled.toUpperCase()],
  ['the version that is none', `ff-${traceId}-${spanId}-01`],
  ['more fields than this version has', `${sampled}-more`],
  ['a trace of zeros', `00-${'0'.repeat(32)}-${spanId}-01`],
  ['a span of zeros', `00-${traceId}-${'0'.repeat(16)}-01`],
  ['something cut off', sampled.slice(0, -1)],
])('%s is no trace context', (_, traceparent) => {
  expect(creationContextOf(traceparent === undefined ? {} : { traceparent })).toBeNull()
})
