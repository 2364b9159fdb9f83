import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { eventually } from '../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from './relay-bench.ts'

let bench: RelayBench

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(() => bench.reset())
afterAll(() => bench.database.drop())

describe('publishing', () => {
  it('what was committed is published in order and leaves the table', async () => {
    const ids = await bench.add(
      ...Array.from({ length: 2_000 }, (_, n) => aMessage({ orderingKey: `k${n % 5}`, payload: { n } })),
    )
    const { broker, relay } = bench.relay()

    const report = await relay.runOnce()

    expect(report).toEqual({ published: 2_000, retried: 0, deadLettered: 0, isBrokerOut: false })
    expect(await bench.count('messages')).toBe(0)
    expect(broker.accepted.map((message) => message.id).sort()).toEqual([...ids].sort())
    for (const key of ['k0', 'k4']) {
      const sent = broker.accepted.filter((message) => message.orderingKey === key)
      expect(sent.map((message) => message.id)).toEqual(ids.filter((_, n) => `k${n % 5}` === key))
    }
  })

  it('a running relay publishes what is added, by doorbell and in milliseconds', async () => {
    const { broker, relay, observer } = bench.relay({ pollIntervalMs: 5_000 })
    relay.start()
    await observer.waitFor('lanes.acquired')

    for (let n = 1; n <= 20; n++) {
      await bench.add(aMessage())
      await broker.received(n)
    }

    expect(broker.accepted).toHaveLength(20)
    await relay.stop()
    expect(await bench.count('messages')).toBe(0)
    expect(await bench.count('relays')).toBe(0)
  })
})

describe('failures', () => {
  const failure = (kind: 'retryable' | 'permanent') => ({ kind, code: 'NOPE', message: 'no' }) as const

  it('a failed message comes again after its backoff, and its key waits for it', async () => {
    const ids = await bench.add(...Array.from({ length: 5 }, () => aMessage({ orderingKey: 'k' })))
    const { broker, relay } = bench.relay()
    broker.failWith((message) => (message.id === ids[1] && message.attempt < 3 ? failure('retryable') : null))
    relay.start()

    await broker.received(5)

    expect(broker.accepted.map((message) => message.id)).toEqual(ids)
    expect(broker.accepted[1]).toMatchObject({ attempt: 3 })
  })

  it('a dead message holds its key and no other, with its history', async () => {
    const ids = await bench.add(...['a', 'b', 'a', 'b'].map((orderingKey) => aMessage({ orderingKey })))
    const { broker, relay, observer } = bench.relay({ maxAttempts: 2 })
    broker.failWith((message) => (message.id === ids[0] ? failure('retryable') : null))
    relay.start()

    await observer.waitFor('key.held')
    await bench.add(aMessage({ orderingKey: 'a' }), aMessage({ orderingKey: 'b' }))
    await broker.received(3)

    expect(broker.accepted.map((message) => message.orderingKey)).toEqual(['b', 'b', 'b'])
    const letter = (await bench.pool.query('select * from malote.dead_letters')).rows[0]
    expect(letter).toMatchObject({ id: ids[0], attempts: 2, reason: 'MAX_ATTEMPTS', ordering_key: 'a' })
    expect(letter.failures).toHaveLength(2)
    await eventually(async () => expect(await bench.count('messages')).toBe(2))
  })

  it('a dead message is skipped where its topic says so', async () => {
    const ids = await bench.add(...[1, 2, 3].map(() => aMessage({ orderingKey: 'a' })))
    const { broker, relay } = bench.relay({ afterDeadLetter: 'skip' })
    broker.failWith((message) => (message.id === ids[0] ? failure('permanent') : null))
    relay.start()

    await broker.received(2)

    expect(broker.accepted.map((message) => message.id)).toEqual(ids.slice(1))
    expect(await bench.count('held_keys')).toBe(0)
  })

  it('an outage spends no attempts', async () => {
    await bench.add(...Array.from({ length: 50 }, () => aMessage()))
    const { broker, relay, observer } = bench.relay({ maxAttempts: 1 })
    broker.goDown()
    relay.start()
    await observer.waitFor('outage.started')
    while (broker.batches.length < 5) await new Promise((resolve) => setImmediate(resolve))

    broker.goUp()
    await broker.received(50)

    await observer.waitFor('outage.ended')
    expect(broker.accepted.every((message) => message.attempt === 1)).toBe(true)
    expect(await bench.count('dead_letters')).toBe(0)
  })

  it('a broker that goes away in the middle of a batch spends no attempts of the rest', async () => {
    const ids = await bench.add(...Array.from({ length: 50 }, (_, n) => aMessage(n % 2 ? { orderingKey: 'k' } : {})))
    const { broker, relay, observer } = bench.relay({ maxAttempts: 1 })
    const lost = { kind: 'retryable', code: 'CONNECTION_LOST', message: 'it went away' } as const
    broker.failWith((message) => (ids.indexOf(message.id) < 20 ? null : lost))
    relay.start()
    await observer.waitFor('outage.started')

    broker.failWith(() => null)
    await broker.received(50)

    expect(broker.accepted.every((message) => message.attempt === 1)).toBe(true)
    expect(await bench.count('dead_letters')).toBe(0)
    const keyed = broker.accepted.filter((message) => message.orderingKey === 'k').map((message) => message.id)
    expect(keyed).toEqual(ids.filter((_, n) => n % 2))
  })

  it('a message that makes the publisher throw is found among its neighbours and pays alone', async () => {
    const ids = await bench.add(...Array.from({ length: 100 }, () => aMessage()))
    const { broker, relay, observer } = bench.relay({ maxAttempts: 2 })
    broker.beforePublish((batch) => {
      if (batch.some((message) => message.id === ids[37])) throw new Error('boom')
    })
    relay.start()

    await observer.waitFor('message.retry-scheduled')
    await broker.received(99)
    observer.clear()
    await observer.waitFor('outage.started')
    await bench.add(aMessage()) // Alone it cannot be told from an outage: only other messages that pass prove the broker well.
    await observer.waitFor('message.dead-lettered')

    expect((await bench.pool.query('select id from malote.dead_letters')).rows).toEqual([{ id: ids[37] }])
  })
})

describe('lanes', () => {
  it('two relays share the lanes, and one that stops leaves its share at once', async () => {
    const first = bench.relay()
    first.relay.start()
    await first.observer.waitFor('lanes.acquired')
    const second = bench.relay()
    second.relay.start()
    const { lanes } = await second.observer.waitFor('lanes.acquired')
    expect(lanes.length).toBeLessThanOrEqual(32)

    await second.relay.stop()
    await bench.add(...Array.from({ length: 200 }, (_, n) => aMessage({ orderingKey: `k${n}` })))

    await first.broker.received(200 - second.broker.accepted.length)
    expect(first.broker.accepted.length + second.broker.accepted.length).toBe(200)
  })

  it('a lane is handed over only after what is in flight of it was acknowledged and deleted', async () => {
    const first = bench.relay()
    const atBroker = Promise.withResolvers<void>()
    let acknowledgedAtMs = Number.POSITIVE_INFINITY
    first.broker.beforePublish(async () => {
      atBroker.resolve()
      await new Promise((resolve) => setTimeout(resolve, 1_500)) // A slow broker: the others look three times meanwhile.
      acknowledgedAtMs = performance.now()
    })
    await bench.add(...Array.from({ length: 400 }, (_, n) => aMessage({ orderingKey: `k${String(n)}` })))
    first.relay.start()
    await atBroker.promise

    const second = bench.relay()
    second.relay.start()
    await second.observer.waitFor('lanes.acquired')

    expect(performance.now()).toBeGreaterThan(acknowledgedAtMs)
    await first.observer.waitFor('batch.settled')
    expect(second.broker.accepted).toEqual([])
  })
})
