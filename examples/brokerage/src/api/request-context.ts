import { context, propagation, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { currentTraceContext } from '@malote/outbox-core/otel'
import type { FastifyInstance, FastifyRequest } from 'fastify'

const spans = new WeakMap<FastifyRequest, Span>()

/**
 * A span for each request, child of the caller's if it sent one, and active while the request is handled: the messages an
 * order adds carry it, so that one trace tells from the request to the ledger. Without an SDK in the process it costs
 * next to nothing and does nothing.
 */
export function traceRequests(app: FastifyInstance): void {
  const tracer = trace.getTracer('brokerage-api')
  app.addHook('onRequest', (request, _reply, done) => {
    const parent = propagation.extract(context.active(), request.headers)
    const route = request.routeOptions.url ?? 'unknown'
    const span = tracer.startSpan(
      `${request.method} ${route}`,
      {
        kind: SpanKind.SERVER,
        attributes: { 'http.request.method': request.method, 'http.route': route, 'correlation.id': request.id },
      },
      parent,
    )
    spans.set(request, span)
    context.with(trace.setSpan(parent, span), done)
  })
  app.addHook('onResponse', async (request, reply) => {
    const span = spans.get(request)
    span?.setAttribute('http.response.status_code', reply.statusCode)
    if (reply.statusCode >= 500) span?.setStatus({ code: SpanStatusCode.ERROR })
    span?.end()
  })
}

/** Id of the request's trace, to show beside what it caused. Null without an SDK. */
export function traceIdOf(request: FastifyRequest): string | null {
  const traceId = spans.get(request)?.spanContext().traceId
  return traceId === undefined || /^0+$/.test(traceId) ? null : traceId
}

/** The request's trace as headers, for what it causes in a transaction that it shares with others. */
export function traceOf(request: FastifyRequest): Readonly<Record<string, string>> {
  const span = spans.get(request)
  return span === undefined ? {} : context.with(trace.setSpan(context.active(), span), currentTraceContext)
}
