import { diag } from '@opentelemetry/api'

/**
 * Runs what only looks on. When it throws (a span processor, a sampler, a meter of somebody else's), OpenTelemetry's own
 * diagnostics are told, and no message pays for it.
 */
export function quietly<Result>(look: () => Result, otherwise: Result): Result {
  try {
    return look()
  } catch (error) {
    diag.error('malote: telemetry failed and was ignored', error)
    return otherwise
  }
}
