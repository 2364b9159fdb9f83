import { type BatchObservableResult, diag, type Meter, type ObservableGauge } from '@opentelemetry/api'
import { type Clock, systemClock } from '../clock.ts'
import { numberOption } from '../options.ts'
import { schemaOption } from '../postgres/identifiers.ts'
import type { Queryable } from '../postgres/queryable.ts'
import { type OutboxStatus, outboxStatus } from '../status.ts'
import { meterOf, type MetricsOptions } from './metrics-options.ts'

/** Which outbox `observeOutbox` measures, how long one reading may take, and with which meter. */
export interface ObserveOutboxOptions extends MetricsOptions {
  /** Schema the outbox tables live in. @defaultValue "malote" */
  readonly schema?: string
  /**
   * Longest one reading may take, in milliseconds. What takes longer has failed: see `malote.outbox.observed`.
   *
   * @defaultValue 10_000: a third of what an exporting reader waits by default
   */
  readonly timeoutMs?: number
  /** @defaultValue the system's clock */
  readonly clock?: Clock
}

/**
 * Gauges of what is in the outbox, read from the database (`outboxStatus`) when the SDK collects and at no other time: how many
 * messages are ready, how old the oldest is, dead letters, held keys, relays. All instruments are in docs/observability.md.
 *
 * Every process that observes reports the same numbers, so one is enough; where several do, take the maximum, never the sum. At most one
 * reading is under way, however often or slowly the SDK collects. It counts rows: with millions ready, collect less often.
 *
 * Never throws into the SDK. When a reading fails or takes too long, `malote.outbox.observed` is 0 and the other gauges are given no value;
 * mind that an SDK that exports cumulatively, which is usual, then repeats their last ones.
 *
 * @param db - a pool, or any `Queryable` that may read the schema; not the relay's pool, whose few connections are taken
 * @returns what stops observing: call it before the pool ends
 * @throws OutboxError `INVALID_OPTION`
 */
export function observeOutbox(db: Queryable, options: ObserveOutboxOptions = {}): () => void {
  const timeoutMs = numberOption('timeoutMs', options.timeoutMs, 10_000, { min: 1, max: 600_000 })
  const meter = meterOf(options)
  const common = options.attributes ?? {}
  const { observed, gauges } = createInstruments(meter)
  const schema = schemaOption(options.schema)
  const reading = new StatusReading(() => outboxStatus(db, { schema }), options.clock ?? systemClock, timeoutMs)
  const observe = async (result: BatchObservableResult): Promise<void> => {
    try {
      const status = await reading.read()
      for (const { gauge, of } of gauges) result.observe(gauge, of(status), common)
      result.observe(observed, 1, common)
    } catch (error) {
      result.observe(observed, 0, common)
      diag.error('malote: the status of the outbox could not be read', error)
    }
  }
  const instruments = [observed, ...gauges.map(({ gauge }) => gauge)]
  meter.addBatchObservableCallback(observe, instruments)
  return () => meter.removeBatchObservableCallback(observe, instruments)
}

interface StatusGauge {
  readonly gauge: ObservableGauge
  readonly of: (status: OutboxStatus) => number
}

function createInstruments(meter: Meter): {
  readonly observed: ObservableGauge
  readonly gauges: readonly StatusGauge[]
} {
  const gauge = (
    name: string,
    unit: string,
    description: string,
    of: (status: OutboxStatus) => number,
  ): StatusGauge => ({ gauge: meter.createObservableGauge(`malote.outbox.${name}`, { unit, description }), of })
  return {
    observed: meter.createObservableGauge('malote.outbox.observed', {
      description: '1 when the other gauges were read just now; 0 when they could not be, and are old if present',
    }),
    gauges: [
      gauge('ready', '{message}', 'Messages to be published now, or in flight: the lag', (status) => status.ready),
      gauge(
        'oldest_unpublished.age',
        's',
        'Age of the oldest message that is due and not published, whatever it waits for; 0 when there is none',
        oldestSeconds,
      ),
      gauge('waiting', '{message}', 'Messages waiting for another attempt', (status) => status.waiting),
      gauge('held', '{message}', 'Messages behind a held key', (status) => status.held),
      gauge(
        'open_breakers',
        '{breaker}',
        'Brokers and destinations that take nothing, as the relays see it',
        (status) => status.outages.length,
      ),
      gauge('scheduled', '{message}', 'Messages that are not due yet', (status) => status.scheduled),
      gauge('dead_letters', '{message}', 'Dead letters nobody has decided about', (status) => status.deadLetters),
      gauge('held_keys', '{key}', 'Ordering keys stopped behind a dead letter', (status) => status.heldKeys),
      gauge('relays', '{relay}', 'Relays that live, by lease and presence', aliveRelays),
      gauge('lanes_without_relay', '{lane}', 'Lanes that no living relay owns', (status) => status.lanesWithoutRelay),
    ],
  }
}

function oldestSeconds({ oldestUnpublishedMs }: OutboxStatus): number {
  return Math.max(0, oldestUnpublishedMs ?? 0) / 1_000
}

function aliveRelays({ relays }: OutboxStatus): number {
  return relays.filter((relay) => relay.isAlive).length
}

/** Reads the status, one reading at a time: who asks meanwhile, and who gave up waiting and asks again, gets that one. */
class StatusReading {
  readonly #start: () => Promise<OutboxStatus>
  readonly #clock: Clock
  readonly #timeoutMs: number
  #underWay: Promise<OutboxStatus> | null = null

  constructor(start: () => Promise<OutboxStatus>, clock: Clock, timeoutMs: number) {
    this.#start = start
    this.#clock = clock
    this.#timeoutMs = timeoutMs
  }

  async read(): Promise<OutboxStatus> {
    this.#underWay ??= this.#start().finally(() => {
      this.#underWay = null
    })
    let cancel = (): void => {}
    const tooLong = new Promise<never>((_resolve, reject) => {
      cancel = this.#clock.after(this.#timeoutMs, () =>
        reject(new Error(`no answer within ${String(this.#timeoutMs)} ms`)),
      )
    })
    return Promise.race([this.#underWay, tooLong]).finally(() => cancel())
  }
}
