import { context, type Context, type Link, type Span, SpanKind, trace, type Tracer } from '@opentelemetry/api'
import type { Delivery, DeliveryHandler } from '../consumer.ts'
import type { ReceivedMessage } from '../received-message.ts'
import type { StreamBatches, StreamHandler } from '../stream-handler.ts'
import { scope } from './metrics-options.ts'
import { attribute, systemAttributes } from './semantic-conventions.ts'
import { errorTypeOf, inSpan, type SpanFailure } from './span.ts'
import { creationContextOf } from './trace-context.ts'

/** How `tracedHandler` names a delivery's span, and what the span is a child of. */
export interface TracedHandlerOptions {
  /** The messaging system, as a span names it: the consumer's name, for example `sqs`. */
  readonly system: string
  /**
   * What the span of a delivery is a child of. `message`: the span in which the message was added, so that one trace tells from the
   * request to its last effect, however many days later; a message added outside any span begins a trace of its own. `active`: the
   * span that is active when the handler is called, such as one of an instrumentation of the broker's client. Both are linked either way.
   *
   * @defaultValue "message": consumers are long-lived, and may carry along whatever span was active when they were started
   */
  readonly parent?: 'message' | 'active'
  /** @defaultValue the global provider's tracer */
  readonly tracer?: Tracer
}

/**
 * The handler with a span for each delivery: `process <topic>`, kind CONSUMER, linked to the context in which the message was
 * added and to the span that was active before, if there are any.
 *
 * The span is active while the handler runs: a message that it adds carries this span's context when the outbox was created with
 * `traceContext: currentTraceContext`. The span has failed when the handler threw (`error.type`: the error's code, else its name). It
 * holds topic, type, id and attempt; never a payload, an ordering key, a header or the words of an error.
 *
 * A handler that takes streams in batches (`inBatches` with `byStream`) still does. A batch has one span, linked to the context in which each of its
 * messages was added (an SDK keeps 128 links of a span unless its `linkCountLimit` says otherwise); it begins a trace of its own, because a batch
 * belongs to no single one, unless `parent` is `active`. It has failed when not all was applied (`error.type`: of the first that was not). Ids and
 * topics are on the links, and its name is `process` alone when there are several topics; each message that is handled alone afterwards has its own span.
 *
 * The handler is called once for each delivery or batch, and its outcome passed on as it is, whatever telemetry does.
 */
export function tracedHandler(handler: DeliveryHandler, options: TracedHandlerOptions): DeliveryHandler {
  const tracer = options.tracer ?? trace.getTracer(scope)
  const one: DeliveryHandler = (delivery) => {
    const active = context.active()
    return inSpan({
      base: active,
      start: () => startSpan(tracer, options, delivery, active),
      run: () => handler(delivery),
    })
  }
  const { byStream } = handler as Partial<StreamHandler>
  return byStream === undefined ? one : Object.assign(one, { byStream: tracedBatches(byStream, tracer, options) })
}

function tracedBatches(batches: StreamBatches, tracer: Tracer, options: TracedHandlerOptions): StreamBatches {
  return {
    ...batches,
    run: (deliveries) => {
      const active = context.active()
      return inSpan({
        base: active,
        start: () => startBatchSpan(tracer, options, deliveries, active),
        run: () => batches.run(deliveries),
        failureOf: batchFailureOf,
      })
    },
  }
}

function startSpan(tracer: Tracer, options: TracedHandlerOptions, delivery: Delivery, active: Context): Span {
  const { message, attempt } = delivery
  const attributes = {
    ...systemAttributes(options.system),
    [attribute.operationName]: 'process',
    [attribute.operationType]: 'process',
    [attribute.topic]: message.topic,
    [attribute.messageId]: message.id,
    [attribute.messageType]: message.type,
    [attribute.attempt]: attempt,
  }
  const { parent, links } = placeOf(message, options.parent ?? 'message', active)
  return tracer.startSpan(`process ${message.topic}`, { kind: SpanKind.CONSUMER, attributes, links }, parent)
}

/** One key may have messages of several topics in a queue that takes them in. */
function startBatchSpan(
  tracer: Tracer,
  options: TracedHandlerOptions,
  deliveries: readonly Delivery[],
  active: Context,
): Span {
  const topics = new Set(deliveries.map(({ message }) => message.topic))
  const topic = topics.size === 1 ? deliveries[0]?.message.topic : undefined
  const attributes = {
    ...systemAttributes(options.system),
    [attribute.operationName]: 'process',
    [attribute.operationType]: 'process',
    ...(topic === undefined ? {} : { [attribute.topic]: topic }),
    [attribute.batchSize]: deliveries.length,
  }
  const links = deliveries.flatMap(({ message }): Link[] => {
    const added = creationContextOf(message.headers)
    if (added === null) return []
    return [{ context: added, attributes: { [attribute.messageId]: message.id, [attribute.topic]: message.topic } }]
  })
  const around = trace.getSpanContext(active)
  const isChild = options.parent === 'active'
  // First: an SDK that keeps only so many links drops the last.
  if (!isChild && around !== undefined) links.unshift({ context: around })
  const parent = isChild ? active : trace.deleteSpan(active)
  const name = topic === undefined ? 'process' : `process ${topic}`
  return tracer.startSpan(name, { kind: SpanKind.CONSUMER, attributes, links }, parent)
}

function batchFailureOf(outcomes: readonly PromiseSettledResult<unknown>[] | void): SpanFailure | null {
  const failed = (outcomes ?? []).filter((outcome) => outcome.status === 'rejected')
  const [first] = failed
  if (first === undefined) return null
  const message = `${String(failed.length)} of ${String(outcomes?.length)} messages were not applied`
  return { errorType: errorTypeOf(first.reason), message }
}

function placeOf(
  message: ReceivedMessage,
  wanted: 'message' | 'active',
  active: Context,
): { readonly parent: Context; readonly links: Link[] } {
  const added = creationContextOf(message.headers)
  const links: Link[] = added === null ? [] : [{ context: added }]
  if (wanted === 'active') return { parent: active, links }
  const around = trace.getSpanContext(active)
  if (around !== undefined) links.push({ context: around })
  return { parent: added === null ? trace.deleteSpan(active) : trace.setSpanContext(active, added), links }
}
