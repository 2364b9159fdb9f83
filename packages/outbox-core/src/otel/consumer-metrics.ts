import type { Attributes, Counter, Histogram, Meter } from '@opentelemetry/api'
import { reportTo } from '../adapter/report.ts'
import type { ConsumerEvent } from '../consumer.ts'
import { durationBounds, meterOf, type MetricsOptions } from './metrics-options.ts'
import { attribute } from './semantic-conventions.ts'

/**
 * Counts what a consumer tells, whatever its broker: hand it to the consumer as `onEvent`. All instruments are in
 * docs/observability.md; the attributes are message types, outcomes and reasons, never an id. With several consumers in one process
 * tell them apart by `attributes`.
 *
 * Never throws: what a meter throws is reported once on `process.emitWarning`.
 */
export function consumerMetrics(options: MetricsOptions = {}): (event: ConsumerEvent) => void {
  const instruments = createInstruments(meterOf(options))
  return reportTo((event) => record(instruments, event, options.attributes ?? {}))
}

interface Instruments {
  readonly deliveries: Counter
  readonly handleDuration: Histogram
  readonly deadLetterFailures: Counter
  readonly holdsLost: Counter
  readonly disconnects: Counter
  readonly streamsHeld: Counter
  readonly storeFailures: Counter
  readonly pauses: Counter
  readonly pauseDuration: Histogram
}

function createInstruments(meter: Meter): Instruments {
  const counter = (name: string, unit: string, description: string): Counter =>
    meter.createCounter(`malote.consumer.${name}`, { unit, description })
  return {
    deliveries: counter('deliveries', '{delivery}', 'Deliveries by what became of them'),
    handleDuration: meter.createHistogram('malote.consumer.handle.duration', {
      unit: 's',
      description: 'How long the handler took for deliveries it handled',
      advice: { explicitBucketBoundaries: durationBounds },
    }),
    deadLetterFailures: counter(
      'dead_letter_failures',
      '{failure}',
      'Times the place for dead letters did not take a message. Alarm on it',
    ),
    holdsLost: counter('holds_lost', '{delivery}', 'Deliveries whose hold was lost while the handler ran'),
    disconnects: counter('disconnects', '{failure}', 'Lost connections, and tries to connect that failed'),
    streamsHeld: counter('streams_held', '{stream}', 'Streams that stopped behind a dead letter. Alarm on it'),
    storeFailures: counter('store_failures', '{failure}', 'Times the consumer store did not answer'),
    pauses: counter('pauses', '{pause}', 'Times the consumer paused because its handlers could not work. Alarm on it'),
    pauseDuration: meter.createHistogram('malote.consumer.pause.duration', {
      unit: 's',
      description: 'How long pauses lasted that are over',
      advice: { explicitBucketBoundaries: [1, 5, 15, 60, 300, 900, 3_600] },
    }),
  }
}

function record(to: Instruments, event: ConsumerEvent, common: Attributes): void {
  const delivery = (type: string | null, outcome: string, more: Attributes = {}): void =>
    to.deliveries.add(1, {
      ...common,
      ...more,
      ...(type === null ? {} : { [attribute.messageType]: type }),
      [attribute.outcome]: outcome,
    })
  switch (event.type) {
    case 'message.handled':
      delivery(event.messageType, 'handled')
      return to.handleDuration.record(event.ms / 1_000, { ...common, [attribute.messageType]: event.messageType })
    case 'message.failed':
      return delivery(event.messageType, 'failed')
    case 'message.unknown-type':
      return delivery(event.messageType, 'unknown-type')
    case 'message.outage':
      return delivery(event.messageType, 'outage')
    case 'message.dead-lettered':
      return delivery(event.messageType, 'dead-lettered', { [attribute.reason]: event.reason })
    case 'message.dead-letter-failed':
      return to.deadLetterFailures.add(1, common)
    case 'message.hold-lost':
      return to.holdsLost.add(1, common)
    case 'consumer.disconnected':
      return to.disconnects.add(1, common)
    case 'consumer.paused':
      return to.pauses.add(1, { ...common, [attribute.reason]: event.reason })
    case 'consumer.resumed':
      return to.pauseDuration.record(event.afterMs / 1_000, common)
    case 'message.parked':
      return delivery(event.messageType, 'parked')
    case 'stream.held':
      return to.streamsHeld.add(1, common)
    case 'consumer.store-failed':
      return to.storeFailures.add(1, common)
    case 'batch.failed': // Its messages are told one by one.
    case 'consumer.started':
    case 'consumer.stopped':
    case 'consumer.reconnected':
      return
  }
}
