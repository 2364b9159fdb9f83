import { type Link, ROOT_CONTEXT, type Span, type SpanContext, SpanKind, trace, type Tracer } from '@opentelemetry/api'
import type { OutboxMessage } from '../message.ts'
import type { Publisher, PublishResult } from '../publisher.ts'
import { scope } from './metrics-options.ts'
import { quietly } from './quietly.ts'
import { attribute, systemAttributes } from './semantic-conventions.ts'
import { inSpan, type SpanFailure } from './span.ts'
import { creationContextOf, traceHeadersOf } from './trace-context.ts'

/** With which tracer `tracedPublisher` makes its spans, and how the spans name the broker. */
export interface TracedPublisherOptions {
  /** @defaultValue the global provider's tracer */
  readonly tracer?: Tracer
  /** The messaging system, as a span names it. @defaultValue the publisher's name */
  readonly system?: string
}

/**
 * The publisher with a span for each publish: `publish <topic>`, or `publish` when a batch holds several topics.
 *
 * A span is the root of its own trace, because a batch belongs to no single one of them; it links to the context in which each
 * of its messages was added (an SDK keeps 128 links of a span unless its `linkCountLimit` says otherwise). It is active while
 * the publisher works, so that spans of the broker's client are its children. A message without trace context is given
 * this span's on its way to the broker; a stored one is never changed. By OpenTelemetry's conventions the span is of kind PRODUCER
 * when it gave its context to a message, else CLIENT.
 *
 * The span has failed when a message was not accepted (`error.type`: the first one's code) or the publisher rejected. It holds topics
 * and message ids; never a payload, an ordering key, a header or the words of an error.
 *
 * The contract of a publisher stays as it is: results, errors, the signal and `close` pass through, whatever telemetry does.
 */
export function tracedPublisher(publisher: Publisher, options: TracedPublisherOptions = {}): Publisher {
  const tracer = options.tracer ?? trace.getTracer(scope)
  const system = options.system ?? publisher.name
  return {
    name: publisher.name,
    publish: (batch, signal) => {
      if (batch.length === 0) return publisher.publish(batch, signal)
      const added = batch.map((message) => creationContextOf(message.headers))
      return inSpan({
        base: ROOT_CONTEXT,
        start: () => startSpan(tracer, system, batch, added),
        run: (span) => publisher.publish(span === null ? batch : withTraceContext(batch, added, span), signal),
        failureOf,
      })
    },
    ...(publisher.routeOf === undefined ? {} : { routeOf: (topic) => publisher.routeOf?.(topic) ?? null }),
    close: () => publisher.close(),
  }
}

/** For each message of a batch the context in which it was added, or null. */
type Added = readonly (SpanContext | null)[]

function startSpan(tracer: Tracer, system: string, batch: readonly OutboxMessage[], added: Added): Span {
  const topics = new Set(batch.map((message) => message.topic))
  const topic = topics.size === 1 ? batch[0]?.topic : undefined
  const links = batch.flatMap((message, at) => linkTo(message, added[at] ?? null))
  const attributes = {
    ...systemAttributes(system),
    [attribute.operationName]: 'publish',
    [attribute.operationType]: 'send',
    [attribute.batchSize]: batch.length,
    ...(topic === undefined ? {} : { [attribute.topic]: topic }),
  }
  const kind = links.length < batch.length ? SpanKind.PRODUCER : SpanKind.CLIENT
  const name = topic === undefined ? 'publish' : `publish ${topic}`
  return tracer.startSpan(name, { kind, attributes, links }, ROOT_CONTEXT)
}

function linkTo(message: OutboxMessage, context: SpanContext | null): Link[] {
  if (context === null) return []
  return [{ context, attributes: { [attribute.messageId]: message.id, [attribute.topic]: message.topic } }]
}

/** What has no usable trace context gets the span's; where no SDK runs there is none to give. */
function withTraceContext(batch: readonly OutboxMessage[], added: Added, span: Span): readonly OutboxMessage[] {
  if (!added.includes(null)) return batch
  const trace = quietly(() => traceHeadersOf(span.spanContext()), {})
  if (trace['traceparent'] === undefined) return batch
  return batch.map((message, at) =>
    added[at] === null ? { ...message, headers: { ...message.headers, ...trace } } : message,
  )
}

function failureOf(results: readonly PublishResult[]): SpanFailure | null {
  const failures = results.flatMap((result) => (result.status === 'failed' ? [result.failure] : []))
  const [first] = failures
  if (first === undefined) return null
  const message = `${String(failures.length)} of ${String(results.length)} messages were not accepted`
  return { errorType: first.code, message }
}
