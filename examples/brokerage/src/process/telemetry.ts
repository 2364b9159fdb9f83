import { context, propagation, trace } from '@opentelemetry/api'
import { log } from './log.ts'

/** Whether somebody collects spans. One that nobody collects still costs a consumer a thirtieth of a message. */
export function isTraced(): boolean {
  return (process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] ?? '') !== ''
}

/**
 * Sends spans to a collector when the environment names one: `OTEL_EXPORTER_OTLP_ENDPOINT` (OTLP over HTTP), with
 * `OTEL_EXPORTER_OTLP_HEADERS` and the other variables that OpenTelemetry defines for its exporter. `OTEL_SERVICE_NAME` is the
 * prefix of each role's name. Without the first one nothing is loaded, and `isTraced` tells roles to make no spans for messages.
 *
 * @returns sends what is left; call it when the role has stopped
 */
export async function startTelemetry(role: string): Promise<() => Promise<void>> {
  if (!isTraced()) return async () => {}
  const [{ AsyncLocalStorageContextManager }, { OTLPTraceExporter }, { resourceFromAttributes }, sdk, core] =
    await Promise.all([
      import('@opentelemetry/context-async-hooks'),
      import('@opentelemetry/exporter-trace-otlp-http'),
      import('@opentelemetry/resources'),
      import('@opentelemetry/sdk-trace'),
      import('@opentelemetry/core'),
    ])
  const provider = new sdk.TracerProvider({
    resource: resourceFromAttributes({ 'service.name': `${process.env['OTEL_SERVICE_NAME'] ?? 'brokerage'}-${role}` }),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter: new OTLPTraceExporter(), scheduledDelayMillis: 1_000 })],
  })
  context.setGlobalContextManager(new AsyncLocalStorageContextManager())
  propagation.setGlobalPropagator(new core.W3CTraceContextPropagator())
  trace.setGlobalTracerProvider(provider)
  return async () => {
    // A collector that is away must not keep a role from ending.
    await provider.shutdown().catch((error: unknown) => log.warn({ err: error }, 'the last spans were not sent'))
  }
}
