import { createTelemetry, type Telemetry } from '@malote/testing/telemetry'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createRelay, type Queryable, type RelayEvent } from '../../src/index.ts'
import { observeOutbox } from '../../src/otel/index.ts'
import { createManualClock, createMemoryBroker, createRecordingObserver } from '../../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from '../relay-bench.ts'

let bench: RelayBench

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(() => bench.reset())
afterAll(() => bench.database.drop())

const only = async (telemetry: Telemetry, name: string) =>
  (await telemetry.measurements(`malote.outbox.${name}`)).map(({ value }) => value)

/** The bench's pool, counting its statements; each waits for `before`. */
function counting(before: () => Promise<unknown> = async () => {}): Queryable & { count: number } {
  const db = {
    count: 0,
    query: async (text: string, values: readonly unknown[]) => {
      db.count++
      await before()
      return bench.pool.query(text, [...values])
    },
  }
  return db
}

describe('the gauges of the outbox', () => {
  it('tell what is in it now: ready, waiting, held, scheduled, dead letters, held keys, relays', async () => {
    const telemetry = createTelemetry()
    const failing = createMemoryBroker()
    failing.failWith(({ topic }) => ({ kind: topic === 'bad' ? 'permanent' : 'retryable', code: 'NO', message: 'no' }))
    await bench.add(
      aMessage({ topic: 'bad', orderingKey: 'k' }),
      aMessage({ topic: 'late' }),
      aMessage({ delayMs: 3e6 }),
    )
    await bench.relay({ publisher: failing, backoff: () => 60_000 }).relay.runOnce()
    await bench.add(aMessage(), aMessage({ topic: 'bad', orderingKey: 'k' }))
    await bench.pool.query(
      `update malote.messages set created_at = now() - interval '90 seconds' where available_at is null`,
    )

    observeOutbox(bench.as.reader, { meter: telemetry.meter })

    expect(await only(telemetry, 'ready')).toEqual([1])
    expect(await only(telemetry, 'held')).toEqual([1])
    expect(await only(telemetry, 'open_breakers')).toEqual([0])
    expect(await only(telemetry, 'waiting')).toEqual([1])
    expect(await only(telemetry, 'scheduled')).toEqual([1])
    expect(await only(telemetry, 'dead_letters')).toEqual([1])
    expect(await only(telemetry, 'held_keys')).toEqual([1])
    expect(await only(telemetry, 'relays')).toEqual([0])
    expect(await only(telemetry, 'lanes_without_relay')).toEqual([64])
    const [ageSeconds = 0] = await only(telemetry, 'oldest_unpublished.age')
    expect(ageSeconds).toBeGreaterThanOrEqual(90)
    expect(ageSeconds).toBeLessThan(120)
  })

  it('count relays whose lease holds, and show an empty outbox as no age at all', async () => {
    const telemetry = createTelemetry()
    observeOutbox(bench.as.reader, { meter: telemetry.meter, attributes: { outbox: 'main' } })
    const observer = createRecordingObserver<RelayEvent>()
    const relay = createRelay({
      pool: bench.relayPool(),
      publisher: createMemoryBroker(),
      onEvent: observer.onEvent,
    })
    relay.start()
    await observer.waitFor('lanes.acquired')

    expect(await telemetry.measurements('malote.outbox.relays')).toEqual([{ attributes: { outbox: 'main' }, value: 1 }])
    expect(await only(telemetry, 'lanes_without_relay')).toEqual([0])
    expect(await only(telemetry, 'oldest_unpublished.age')).toEqual([0])

    await relay.stop()
  })
})

describe('observing', () => {
  it('asks the database when the SDK collects, once each time, and no more after it was stopped', async () => {
    const telemetry = createTelemetry()
    const db = counting()
    const stop = observeOutbox(db, { meter: telemetry.meter })
    expect(db.count).toBe(0)

    await telemetry.instruments()
    expect(db.count).toBe(1)

    stop()
    await telemetry.instruments()
    expect(db.count).toBe(1)
  })

  it('says so when the database cannot answer, and never throws into the SDK', async () => {
    const telemetry = createTelemetry()
    let isBroken = true
    const db = counting(async () => {
      if (isBroken) throw new Error('the database is away')
    })
    observeOutbox(db, { meter: telemetry.meter })

    expect(await telemetry.instruments()).toEqual(['malote.outbox.observed'])
    expect(await only(telemetry, 'observed')).toEqual([0])
    isBroken = false

    expect(await only(telemetry, 'ready')).toEqual([0])
    expect(await only(telemetry, 'observed')).toEqual([1])
  })

  it('gives up on an answer that takes too long, and lets no second question queue behind it', async () => {
    const telemetry = createTelemetry()
    const clock = createManualClock()
    let answer = (): void => {}
    const db = counting(() => new Promise<void>((resolve) => (answer = resolve)))
    observeOutbox(db, { meter: telemetry.meter, clock, timeoutMs: 1_000 })

    for (let collection = 0; collection < 3; collection++) {
      const collecting = only(telemetry, 'observed')
      while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve))
      await clock.advance(1_000)
      expect(await collecting).toEqual([0])
    }

    expect(db.count).toBe(1)
    const collecting = only(telemetry, 'observed')
    answer()
    expect(await collecting).toEqual([1])
    expect(clock.pending).toBe(0)
  })

  it('refuses at once what could only fail at every collection', () => {
    expect(() => observeOutbox(bench.as.reader, { schema: '' })).toThrow('option "schema"')
    expect(() => observeOutbox(bench.as.reader, { timeoutMs: 0 })).toThrow('option "timeoutMs"')
  })
})
