import { type Attributes, type Meter, metrics } from '@opentelemetry/api'

/** What every function that records metrics takes. */
export interface MetricsOptions {
  /**
   * The meter that makes the instruments.
   *
   * @defaultValue the global provider's. The global provider of metrics has no stand-in: what is created before the SDK has
   *   started measures nothing, for ever.
   */
  readonly meter?: Meter
  /** Added to every measurement: tells two relays or two schemas of one process apart. Keep the values few. @defaultValue none */
  readonly attributes?: Attributes
}

/** The name our instruments and spans are grouped under, in the SDK's words the instrumentation scope. */
export const scope = '@malote/outbox-core'

export function meterOf(options: MetricsOptions): Meter {
  return options.meter ?? metrics.getMeter(scope)
}

/**
 * Bounds of the histograms of durations, in seconds: those of OpenTelemetry's conventions for messaging. The SDK's own default
 * is meant for milliseconds and would put every publish into its first bucket.
 */
export const durationBounds: number[] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
