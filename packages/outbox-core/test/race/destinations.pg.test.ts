import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createDeadLetters, createHeldKeys, createTopics, outboxStatus, type OutboxMessage } from '../../src/index.ts'
import type { PublishFailure } from '../../src/publisher.ts'
import { eventually } from '../../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from '../relay-bench.ts'

let bench: RelayBench

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(async () => {
  await bench.reset()
  await bench.pool.query('delete from malote.paused_topics; delete from malote.held_keys; delete from malote.outages')
})
afterAll(() => bench.database.drop())

const steering = { by: 'ana', reason: 'a test' }
const away = (topic: string): PublishFailure => ({
  kind: 'unavailable',
  destination: `queue of ${topic}`,
  code: 'QueueDoesNotExist',
  message: 'there is no such queue',
})
const keyed = (topic: string, count: number) =>
  Array.from({ length: count }, (_, n) => aMessage({ topic, orderingKey: `k${String(n % 7)}`, payload: { n } }))

function assertInOrder(accepted: readonly OutboxMessage[], ids: readonly string[]): void {
  const places = new Map(ids.map((id, at) => [id, at]))
  const last = new Map<string | null, number>()
  for (const { id, orderingKey } of accepted.filter((message) => places.has(message.id))) {
    const place = places.get(id) as number
    expect(place).toBeGreaterThan(last.get(orderingKey) ?? -1)
    last.set(orderingKey, place)
  }
}

describe('a destination that is away', () => {
  it('costs nobody an attempt, leaves the memory, lets the others pass, and goes on in order', async () => {
    const { relay, broker, observer } = bench.relay({ maxBufferedMessages: 500, maxAttempts: 2 })
    const dead = new Set(['dead'])
    broker.failWith(({ topic }) => (dead.has(topic) ? away(topic) : null))
    const ids = await bench.add(...keyed('dead', 2_000))
    relay.start()
    await observer.waitFor('outage.started')

    await bench.add(...keyed('alive', 2_000))
    await broker.received(2_000)
    const later = await bench.add(...keyed('dead', 10))
    await eventually(async () =>
      expect((await outboxStatus(bench.as.reader)).outages).toMatchObject([
        { destination: 'queue of dead', topics: ['dead'], code: 'QueueDoesNotExist', backlog: 2_010 },
      ]),
    )
    const { rows } = await bench.pool.query(
      'select max(attempts) as attempts, count(available_at) as waiting from malote.messages',
    )
    expect(rows).toEqual([{ attempts: 0, waiting: '0' }])
    expect(observer.of('message.retry-scheduled')).toEqual([])

    dead.clear()
    await broker.received(4_010)

    assertInOrder(broker.accepted, [...ids, ...later])
    expect(observer.of('outage.ended')).toMatchObject([{ destination: 'queue of dead' }])
    expect(await bench.count('dead_letters')).toBe(0)
    await eventually(async () => expect((await outboxStatus(bench.as.reader)).outages).toEqual([]))
  })

  it('goes with its lanes to another relay, which finds out for itself', async () => {
    const first = bench.relay()
    first.broker.failWith(({ topic }) => away(topic))
    const ids = await bench.add(...keyed('dead', 100))
    first.relay.start()
    await first.observer.waitFor('outage.started')
    await first.relay.stop()

    const second = bench.relay()
    second.relay.start()
    await second.broker.received(100)

    assertInOrder(second.broker.accepted, ids)
    expect(first.broker.accepted).toEqual([])
  })

  it('that hangs leaves its only place to the others, and does not take it again', async () => {
    // Far longer than anybody waits here: what frees the place is that the publish hangs, not that it ends.
    const patient = { publishTimeoutMs: 600_000, leaseMs: 1_800_000 }
    const { relay, broker } = bench.relay({ concurrency: 1, batchSize: 10, ...patient })
    broker.beforePublish((batch, signal) => {
      if (batch.every(({ topic }) => topic !== 'hung')) return Promise.resolve()
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve()))
    })
    await bench.add(...Array.from({ length: 100 }, () => aMessage({ topic: 'hung' })))
    relay.start()
    await eventually(() => expect(broker.batches.length).toBeGreaterThan(0))

    await bench.add(...keyed('alive', 100))
    await eventually(() => expect(broker.accepted.length).toBe(100), { patienceMs: 5_000 })

    expect(broker.accepted.every(({ topic }) => topic === 'alive')).toBe(true)
    expect(broker.batches.filter((batch) => batch.some(({ topic }) => topic === 'hung'))).toHaveLength(1)
    expect(await bench.count('messages')).toBeGreaterThanOrEqual(100)
  })
})

describe('a message replayed during an outage', () => {
  it.each(['rejected', 'waiting', 'in flight'])('goes before those of its key that were %s', async (state) => {
    const { relay, broker, observer } = bench.relay({ afterDeadLetter: 'skip', outageBackoff: () => 300 })
    const ids = await bench.add(...[0, 1, 2, 3].map((n) => aMessage({ orderingKey: 'k', payload: { n } })))
    // Has no key: it is offered as soon as the relay has heard of the replay, whatever is in flight.
    const [keyless] = await bench.add(aMessage())
    const never = [ids[0], keyless]
    broker.failWith(({ id }) => (never.includes(id) ? { kind: 'permanent', code: 'NEVER', message: 'never' } : null))
    let isReplayed = false
    const inFlight = Promise.withResolvers<void>()
    const heard = Promise.withResolvers<void>()
    const offered = Promise.withResolvers<void>()
    broker.beforePublish(async (batch) => {
      const has = (id: string | undefined): boolean => batch.some((message) => message.id === id)
      // A relay goes on until it hears of the replay: the broker comes back only after it did.
      if (isReplayed && has(keyless)) heard.resolve()
      if (isReplayed && has(ids[0])) offered.resolve()
      if (state === 'in flight' && has(ids[1]) && !has(ids[0])) {
        inFlight.resolve()
        await heard.promise
      }
      if (isReplayed || !never.some(has)) throw new Error('out of reach')
    })
    relay.start()
    const deadLetters = createDeadLetters({ db: bench.as.operator })
    const letters = await eventually(async () => {
      const found = await deadLetters.list()
      expect(found).toHaveLength(2)
      return found
    })
    if (state === 'rejected') await observer.waitFor('outage.started')
    if (state === 'in flight') await inFlight.promise

    isReplayed = true
    expect(await deadLetters.replay(letters.map(({ deadLetterId }) => deadLetterId))).toBe(2)
    broker.failWith(() => null)
    await offered.promise
    broker.beforePublish(() => {})
    await broker.received(5)

    expect(broker.accepted.map(({ id }) => id).filter((id) => id !== keyless)).toEqual(ids)
  })
})

describe('an operator', () => {
  it('pauses a topic, which costs the others nothing and survives a restart, and lets it go on in order', async () => {
    const topics = createTopics({ db: bench.as.operator })
    expect(await topics.pause('slow', steering)).toBe(true)
    expect(await topics.pause('slow', steering)).toBe(false)
    const ids = await bench.add(...keyed('slow', 50), ...keyed('fast', 50))
    const { relay, broker } = bench.relay()
    relay.start()
    await broker.received(50)
    await relay.stop()
    const next = bench.relay()
    next.relay.start()
    await bench.add(...keyed('fast', 1))
    await next.broker.received(1)
    expect([...broker.accepted, ...next.broker.accepted].every(({ topic }) => topic === 'fast')).toBe(true)
    expect(await topics.listPaused()).toMatchObject([{ topic: 'slow', pausedBy: 'ana', reason: 'a test' }])
    expect((await outboxStatus(bench.as.reader)).pausedTopics).toEqual(['slow'])

    expect(await topics.resume('slow')).toBe(true)
    await next.broker.received(51)

    assertInOrder(next.broker.accepted, ids)
  })

  it('holds and releases a key by hand, with who and why', async () => {
    const keys = createHeldKeys({ db: bench.as.operator })
    expect(await keys.hold('orders', 'k0', steering)).toBe(true)
    const { relay, broker } = bench.relay()
    relay.start()
    const ids = await bench.add(...['k0', 'k1', 'k0'].map((orderingKey) => aMessage({ topic: 'orders', orderingKey })))
    await broker.received(1)
    expect(broker.accepted.map(({ orderingKey }) => orderingKey)).toEqual(['k1'])
    expect(await keys.list()).toMatchObject([
      { orderingKey: 'k0', heldBy: 'ana', reason: 'a test', deadLetterId: null },
    ])

    await keys.release('orders', 'k0')
    await broker.received(3)

    expect(broker.accepted.slice(1).map(({ id }) => id)).toEqual([ids[0], ids[2]])
  })

  it('must say who and why', async () => {
    await expect(createTopics({ db: bench.as.operator }).pause('t', { by: '', reason: 'x' })).rejects.toThrow(
      '"by" must say who',
    )
  })
})
