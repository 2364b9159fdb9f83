/**
 * Metrics and spans through `@opentelemetry/api`, an optional peer: nothing else of this package imports it, and without an
 * SDK in the process everything here costs next to nothing and does nothing.
 *
 * @packageDocumentation
 */

// Metrics
export type { MetricsOptions } from './metrics-options.ts'
export { relayMetrics } from './relay-metrics.ts'
export { consumerMetrics } from './consumer-metrics.ts'
export { observeOutbox } from './observe-outbox.ts'
export type { ObserveOutboxOptions } from './observe-outbox.ts'

// Spans
export { currentTraceContext } from './trace-context.ts'
export { tracedPublisher } from './traced-publisher.ts'
export type { TracedPublisherOptions } from './traced-publisher.ts'
export { tracedHandler } from './traced-handler.ts'
export type { TracedHandlerOptions } from './traced-handler.ts'
