/**
 * Metrics of the inbox and of idempotent requests through `@opentelemetry/api`, an optional peer: nothing else of this package
 * imports it.
 *
 * @packageDocumentation
 */
import { type Attributes, type Counter, type Histogram, type Meter, metrics } from '@opentelemetry/api'
import { reportTo } from '@malote/outbox-core/adapter'
import type { MetricsOptions } from '@malote/outbox-core/otel'
import type { IdempotencyEvent, InboxEvent } from './events.ts'

export type { MetricsOptions } from '@malote/outbox-core/otel'

/**
 * Counts what an inbox tells: hand it to `createInbox({ onEvent: inboxMetrics() })`. All instruments are in docs/observability.md;
 * the attributes are consumers and outcomes, never a message id.
 *
 * The one to look at is `malote.inbox.duplicate.age`: how long after the first copy the later ones come. A copy that
 * comes after its proof was forgotten is refused as stale when it carries `occurredAt`, and applied again when not: keep proofs for longer.
 *
 * `processed` is counted when the handler is done, before the commit that may yet fail. Never throws: what a meter throws is reported once
 * on `process.emitWarning`, and no transaction fails for it.
 */
export function inboxMetrics(options: MetricsOptions = {}): (event: InboxEvent) => void {
  const instruments = createInboxInstruments(meterOf(options))
  return reportTo((event) => recordInbox(instruments, event, options.attributes ?? {}))
}

/**
 * Counts what idempotent requests tell: hand it to `createIdempotency({ …, onEvent: idempotencyMetrics() })`. All instruments are in
 * docs/observability.md; the attributes are operations and outcomes, never a key, a tenant or a subject.
 *
 * Never throws: what a meter throws is reported once on `process.emitWarning`, and no request fails for it.
 */
export function idempotencyMetrics(options: MetricsOptions = {}): (event: IdempotencyEvent) => void {
  const instruments = createRequestInstruments(meterOf(options))
  return reportTo((event) => recordRequest(instruments, event, options.attributes ?? {}))
}

const consumerName = 'malote.consumer'
const operationName = 'malote.operation'
const outcome = 'malote.outcome'

function meterOf(options: MetricsOptions): Meter {
  return options.meter ?? metrics.getMeter('@malote/idempotency')
}

interface InboxInstruments {
  readonly messages: Counter
  readonly duplicateAge: Histogram
  readonly purged: Counter
}

/** In seconds, from a redelivery at once to a dead letter redriven a month later. */
const duplicateAgeBounds = [1, 10, 60, 600, 3_600, 21_600, 86_400, 172_800, 345_600, 604_800, 1_209_600, 2_592_000]

function createInboxInstruments(meter: Meter): InboxInstruments {
  return {
    messages: meter.createCounter('malote.inbox.messages', {
      unit: '{message}',
      description: 'Messages brought to the inbox, by what it said',
    }),
    duplicateAge: meter.createHistogram('malote.inbox.duplicate.age', {
      unit: 's',
      description: 'How long after the first copy a duplicate came: keep proofs for longer',
      advice: { explicitBucketBoundaries: duplicateAgeBounds },
    }),
    purged: meter.createCounter('malote.inbox.purged', {
      unit: '{message}',
      description: 'Proofs that were forgotten',
    }),
  }
}

function recordInbox(to: InboxInstruments, event: InboxEvent, common: Attributes): void {
  const message = (consumer: string, what: string): void =>
    to.messages.add(1, { ...common, [consumerName]: consumer, [outcome]: what })
  switch (event.type) {
    case 'inbox.processed':
      return message(event.consumer, 'processed')
    case 'inbox.in-flight':
      return message(event.consumer, 'in-flight')
    case 'inbox.stale':
      return message(event.consumer, 'stale')
    case 'inbox.duplicate':
      message(event.consumer, 'duplicate')
      return to.duplicateAge.record(Math.max(0, event.ageMs) / 1_000, { ...common, [consumerName]: event.consumer })
    case 'inbox.purged':
      return to.purged.add(event.rows, common)
  }
}

interface RequestInstruments {
  readonly requests: Counter
  readonly duration: Histogram
  readonly takeovers: Counter
  readonly leasesLost: Counter
  readonly purgedKeys: Counter
  readonly purgedBodies: Counter
}

/** In seconds, those of OpenTelemetry's conventions for HTTP. The SDK's own default is meant for milliseconds. */
const requestBounds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]

function createRequestInstruments(meter: Meter): RequestInstruments {
  const counter = (name: string, unit: string, description: string): Counter =>
    meter.createCounter(`malote.idempotency.${name}`, { unit, description })
  return {
    requests: counter('requests', '{request}', 'Requests by how they ended'),
    duration: meter.createHistogram('malote.idempotency.request.duration', {
      unit: 's',
      description: 'How long requests took, by how they ended',
      advice: { explicitBucketBoundaries: requestBounds },
    }),
    takeovers: counter('lease.takeovers', '{lease}', 'Expired leases that a retry took over'),
    leasesLost: counter('lease.lost', '{lease}', 'Leases lost while their handler ran'),
    purgedKeys: counter('purged.keys', '{key}', 'Keys that were forgotten'),
    purgedBodies: counter('purged.bodies', '{body}', 'Stored bodies that were forgotten while their key is kept'),
  }
}

function recordRequest(to: RequestInstruments, event: IdempotencyEvent, common: Attributes): void {
  switch (event.type) {
    case 'request': {
      const attributes = { ...common, [operationName]: event.operation, [outcome]: event.outcome }
      to.requests.add(1, attributes)
      return to.duration.record(event.ms / 1_000, attributes)
    }
    case 'lease.taken-over':
      return to.takeovers.add(1, { ...common, [operationName]: event.operation })
    case 'lease.lost':
      return to.leasesLost.add(1, { ...common, [operationName]: event.operation })
    case 'keys.purged':
      to.purgedKeys.add(event.keys, common)
      return to.purgedBodies.add(event.bodies, common)
  }
}
