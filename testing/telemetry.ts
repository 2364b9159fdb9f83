import { context, type Meter, metrics, trace, type Tracer } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { type DataPoint, type Histogram, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  type SpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace'

export type { SpanProcessor } from '@opentelemetry/sdk-trace'

/** What an instrument has recorded under one set of attributes. */
export interface Measurement {
  readonly attributes: Readonly<Record<string, unknown>>
  /** A counter's sum, a gauge's last value, or a histogram's sum. */
  readonly value: number
  /** Of a histogram: how many values, and its bounds. */
  readonly count?: number
  readonly bounds?: readonly number[]
}

/** The real OpenTelemetry SDK, keeping what it is told in memory. Global is the context manager alone. */
export interface Telemetry {
  readonly meter: Meter
  readonly tracer: Tracer
  /** Makes it what `metrics` and `trace` of the API give, as an SDK does when an application starts. */
  readonly makeGlobal: () => void
  /** Spans that have ended, in the order they did. */
  readonly spans: () => readonly ReadableSpan[]
  /** Collects now and returns what the instrument has; empty when it has nothing. */
  readonly measurements: (instrument: string) => Promise<readonly Measurement[]>
  /** Collects now and returns the names of the instruments that have anything. */
  readonly instruments: () => Promise<readonly string[]>
}

/** @param processors - run before the one that keeps spans; to break things with */
export function createTelemetry(processors: readonly SpanProcessor[] = []): Telemetry {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager())
  const reader = new CollectingReader()
  const exporter = new InMemorySpanExporter()
  const spanProcessors = [...processors, new SimpleSpanProcessor({ exporter })]
  const collected = async () => {
    const { resourceMetrics, errors } = await reader.collect()
    if (errors.length > 0) throw new AggregateError(errors, 'collecting failed')
    return resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics)
  }
  const meters = new MeterProvider({ readers: [reader] })
  const tracers = new TracerProvider({ spanProcessors })
  return {
    meter: meters.getMeter('test'),
    tracer: tracers.getTracer('test'),
    makeGlobal: () => {
      metrics.setGlobalMeterProvider(meters)
      trace.setGlobalTracerProvider(tracers)
    },
    spans: () => exporter.getFinishedSpans(),
    measurements: async (instrument) => {
      const metric = (await collected()).find(({ descriptor }) => descriptor.name === instrument)
      return ((metric?.dataPoints ?? []) as DataPoint<number | Histogram>[]).map(measurementOf)
    },
    instruments: async () => (await collected()).map(({ descriptor }) => descriptor.name),
  }
}

function measurementOf({ attributes, value }: DataPoint<number | Histogram>): Measurement {
  if (typeof value === 'number') return { attributes, value }
  return { attributes, value: value.sum ?? 0, count: value.count, bounds: value.buckets.boundaries }
}

class CollectingReader extends MetricReader {
  protected override async onShutdown(): Promise<void> {}
  protected override async onForceFlush(): Promise<void> {}
}
