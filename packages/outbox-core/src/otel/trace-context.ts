import { context, createTraceState, isSpanContextValid, type SpanContext, trace } from '@opentelemetry/api'
import { quietly } from './quietly.ts'

/**
 * The active span's context as W3C headers, for `createOutbox({ traceContext: currentTraceContext })`: what is added inside a
 * span carries that span's `traceparent` and `tracestate` to its consumers. No active span, no headers. Never throws: a
 * transaction must not fail for its trace.
 *
 * W3C whatever propagators the process uses, because messages outlive deployments and are read by other services. Baggage is
 * not stored: it would put what anybody upstream wrote into your database and your brokers.
 */
export function currentTraceContext(): Readonly<Record<string, string>> {
  return quietly(() => traceHeadersOf(trace.getSpanContext(context.active())), {})
}

/** The W3C headers of a span; empty when it is none, as where no SDK runs. */
export function traceHeadersOf(span: SpanContext | undefined): Readonly<Record<string, string>> {
  if (span === undefined || !isSpanContextValid(span)) return {}
  const flags = (span.traceFlags & 0xff).toString(16).padStart(2, '0')
  const state = span.traceState?.serialize() ?? ''
  return {
    traceparent: `00-${span.traceId}-${span.spanId}-${flags}`,
    ...(state === '' ? {} : { tracestate: state }),
  }
}

const traceparentForm =
  /^(?<version>[\da-f]{2})-(?<traceId>[\da-f]{32})-(?<spanId>[\da-f]{16})-(?<flags>[\da-f]{2})(?<more>-.*)?$/

/** The context in which a message was added, from its headers; null when there is none, or none that is well-formed. */
export function creationContextOf(headers: Readonly<Record<string, string>>): SpanContext | null {
  const parts = traceparentForm.exec(headers['traceparent'] ?? '')?.groups
  if (parts === undefined) return null
  const { version, traceId = '', spanId = '', flags = '', more } = parts
  // A later version may append fields; this one may not, and ff is no version.
  if (version === 'ff' || (version === '00' && more !== undefined)) return null
  const found: SpanContext = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true }
  if (!isSpanContextValid(found)) return null
  const state = headers['tracestate']
  return state === undefined ? found : { ...found, traceState: createTraceState(state) }
}
