import type { Attributes, Counter, Gauge, Histogram, Meter } from '@opentelemetry/api'
import { reportTo } from '../adapter/report.ts'
import type { RelayEvent } from '../events.ts'
import { durationBounds, meterOf, type MetricsOptions } from './metrics-options.ts'
import { attribute } from './semantic-conventions.ts'

/**
 * Counts what a relay tells: hand it to `createRelay({ onEvent: relayMetrics() })`, one for each relay. All instruments are in
 * docs/observability.md; the attributes are topics, codes and reasons, never an id. What is in the outbox is told by `observeOutbox`.
 *
 * Never throws: what a meter throws is reported once on `process.emitWarning`.
 */
export function relayMetrics(options: MetricsOptions = {}): (event: RelayEvent) => void {
  const instruments = createInstruments(meterOf(options))
  const common = options.attributes ?? {}
  // An alarm can only see a counter rise that was there before: this one may rise once in a lifetime.
  instruments.foundMissed.add(0, common)
  return reportTo((event) => record(instruments, event, common))
}

interface Instruments {
  readonly published: Counter
  readonly retries: Counter
  readonly deadLetters: Counter
  readonly heldKeys: Counter
  readonly publishDuration: Histogram
  readonly settleDuration: Histogram
  readonly outages: Counter
  readonly outageDuration: Histogram
  readonly brokerOut: Gauge
  readonly destinationOut: Gauge
  /** Destinations that were told to be out of reach. */
  readonly out: Set<string>
  readonly handovers: Counter
  readonly sessionsLost: Counter
  readonly databaseFailures: Counter
  readonly doorbellFailures: Counter
  readonly foundMissed: Counter
}

function createInstruments(meter: Meter): Instruments {
  const counter = (name: string, unit: string, description: string): Counter =>
    meter.createCounter(`malote.relay.${name}`, { unit, description })
  const duration = (name: string, description: string, bounds: number[] = durationBounds): Histogram =>
    meter.createHistogram(`malote.relay.${name}`, {
      unit: 's',
      description,
      advice: { explicitBucketBoundaries: bounds },
    })
  return {
    published: counter('published', '{message}', 'Messages the broker has accepted durably'),
    retries: counter('retries', '{message}', 'Attempts that failed and come again'),
    deadLetters: counter('dead_letters', '{message}', 'Messages that became dead letters'),
    heldKeys: counter('held_keys', '{key}', 'Ordering keys stopped behind a dead letter'),
    publishDuration: duration('publish.duration', 'From handing a batch to the publisher to its answer'),
    settleDuration: duration('settle.duration', 'Writing down what became of a batch'),
    outages: counter('outages', '{outage}', 'Times the broker or a destination went out of reach'),
    outageDuration: duration('outage.duration', 'Outages of the broker or a destination that have ended', outageBounds),
    brokerOut: meter.createGauge('malote.relay.broker_out', {
      description: '1 while the broker is out of reach, else 0',
    }),
    destinationOut: meter.createGauge('malote.relay.destination_out', {
      description: '1 while the destination takes nothing, else 0',
    }),
    out: new Set(),
    handovers: counter('lane_handovers', '{lane}', 'Lanes this relay has acquired, released to another or lost'),
    sessionsLost: counter('sessions_lost', '{session}', 'Sessions that ended without being stopped'),
    databaseFailures: counter('database_failures', '{failure}', 'Lost connections, and tries to connect that failed'),
    doorbellFailures: counter('doorbell_failures', '{failure}', 'Times the relay had to poll, for want of a doorbell'),
    foundMissed: counter('rescan.found_missed', '{message}', 'Messages the reader had passed. Alarm on it'),
  }
}

/** In seconds: a broker's restart, a failover, somebody called in. */
const outageBounds = [0.5, 1, 5, 15, 30, 60, 300, 900, 3_600, 14_400]

function record(to: Instruments, event: RelayEvent, common: Attributes): void {
  const handover = (how: string, lanes: readonly number[]): void =>
    to.handovers.add(lanes.length, { ...common, [attribute.outcome]: how })
  switch (event.type) {
    case 'relay.started':
    case 'relay.stopped':
      // A session that was lost during an outage tells of no end.
      for (const destination of to.out) recordOutage(to, destination, false, common)
      return to.brokerOut.record(0, common)
    case 'lanes.acquired':
      return handover('acquired', event.lanes)
    case 'lanes.restored':
      return to.handovers.add(event.lanes, { ...common, [attribute.outcome]: 'restored' })
    case 'lanes.released':
      return handover('released', event.lanes)
    case 'lanes.lost':
      to.sessionsLost.add(1, { ...common, [attribute.reason]: event.reason })
      return handover('lost', event.lanes)
    case 'batch.published':
      to.published.add(event.messages, common)
      return to.publishDuration.record(event.ms / 1_000, common)
    case 'batch.settled':
      return to.settleDuration.record(event.ms / 1_000, common)
    case 'message.retry-scheduled':
      return to.retries.add(1, { ...common, [attribute.topic]: event.topic, [attribute.errorType]: event.code })
    case 'message.dead-lettered':
      return to.deadLetters.add(1, {
        ...common,
        [attribute.topic]: event.topic,
        [attribute.errorType]: event.code,
        [attribute.reason]: event.reason,
      })
    case 'key.held':
      return to.heldKeys.add(1, { ...common, [attribute.topic]: event.topic })
    case 'outage.started':
      to.outages.add(1, withDestination(common, event.destination))
      return recordOutage(to, event.destination, true, common)
    case 'outage.ended':
      to.outageDuration.record(event.ms / 1_000, withDestination(common, event.destination))
      return recordOutage(to, event.destination, false, common)
    case 'database.disconnected':
      return to.databaseFailures.add(1, common)
    case 'database.reconnected':
    case 'maintenance.done':
    case 'maintenance.failed':
      return
    case 'doorbell.unavailable':
      return to.doorbellFailures.add(1, common)
    case 'rescan.found-missed':
      return to.foundMissed.add(event.messages, common)
  }
}

/** One destination says nothing of the broker, nor of another destination. */
function recordOutage(to: Instruments, destination: string | undefined, isOut: boolean, common: Attributes): void {
  const value = isOut ? 1 : 0
  if (destination === undefined) return to.brokerOut.record(value, common)
  if (isOut) to.out.add(destination)
  else to.out.delete(destination)
  to.destinationOut.record(value, withDestination(common, destination))
}

function withDestination(common: Attributes, destination: string | undefined): Attributes {
  return destination === undefined ? common : { ...common, [attribute.unavailableDestination]: destination }
}
