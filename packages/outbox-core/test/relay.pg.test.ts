import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import type pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import {
  createOutbox,
  createRelay,
  migrate,
  type NewMessage,
  type Relay,
  type RelayEvent,
  type RelayOptions,
} from '../src/index.ts'
import { createMemoryBroker, createRecordingObserver } from '../src/testing/index.ts'

let database: TestDatabase
let pool: pg.Pool
const relays: Relay[] = []

beforeAll(async () => {
  database = await createTestDatabase(inject('postgresUrl'))
  pool = database.pool()
  await migrate(pool)
})
beforeEach(() =>
  pool.query('truncate malote.messages, malote.scheduled_messages, malote.dead_letters, malote.held_keys'),
)
afterEach(async () => {
  await Promise.all(relays.splice(0).map((relay) => relay.stop({ graceMs: 100 })))
})
afterAll(() => database.drop())

const aMessage = (change: Partial<NewMessage> = {}): NewMessage => ({
  topic: 'orders',
  type: 'order.accepted',
  payload: { amount: 1000 },
  ...change,
})

async function add(...messages: NewMessage[]): Promise<readonly string[]> {
  const client = await pool.connect()
  await client.query('begin')
  const ids = await createOutbox().addAll(client, messages)
  await client.query('commit')
  client.release()
  return ids
}

function setup(options: Partial<RelayOptions> = {}) {
  const broker = createMemoryBroker()
  const observer = createRecordingObserver<RelayEvent>()
  const relay = createRelay({
    pool: database.pool(),
    publisher: broker,
    onEvent: observer.onEvent,
    backoff: () => 20,
    outageBackoff: () => 20,
    ...options,
  })
  relays.push(relay)
  return { broker, observer, relay }
}

const count = async (table: string): Promise<number> =>
  (await pool.query(`select count(*)::integer as n from malote.${table}`)).rows[0].n

describe('publishing', () => {
  it('what was committed is published in order and leaves the table', async () => {
    const ids = await add(
      ...Array.from({ length: 2_000 }, (_, n) => aMessage({ orderingKey: `k${n % 5}`, payload: { n } })),
    )
    const { broker, relay } = setup()

    const report = await relay.runOnce()

    expect(report).toEqual({ published: 2_000, retried: 0, deadLettered: 0, isBrokerOut: false })
    expect(await count('messages')).toBe(0)
    expect(broker.accepted.map((message) => message.id).sort()).toEqual([...ids].sort())
    for (const key of ['k0', 'k4']) {
      const sent = broker.accepted.filter((message) => message.orderingKey === key)
      expect(sent.map((message) => message.id)).toEqual(ids.filter((_, n) => `k${n % 5}` === key))
    }
  })

  it('a running relay publishes what is added, by doorbell and in milliseconds', async () => {
    const { broker, relay, observer } = setup({ pollIntervalMs: 5_000 })
    relay.start()
    await observer.waitFor('lanes.acquired')

    for (let n = 1; n <= 20; n++) {
      await add(aMessage())
      await broker.received(n)
    }

    expect(broker.accepted).toHaveLength(20)
    await relay.stop()
    expect(await count('messages')).toBe(0)
    expect(await count('relays')).toBe(0)
  })
})

describe('failures', () => {
  const failure = (kind: 'retryable' | 'permanent') => ({ kind, code: 'NOPE', message: 'no' }) as const

  it('a failed message comes again after its backoff, and its key waits for it', async () => {
    const ids = await add(...Array.from({ length: 5 }, () => aMessage({ orderingKey: 'k' })))
    const { broker, relay } = setup()
    broker.failWith((message) => (message.id === ids[1] && message.attempt < 3 ? failure('retryable') : null))
    relay.start()

    await broker.received(5)

    expect(broker.accepted.map((message) => message.id)).toEqual(ids)
    expect(broker.accepted[1]).toMatchObject({ attempt: 3 })
  })

  it('a dead message holds its key and no other, with its history', async () => {
    const ids = await add(...['a', 'b', 'a', 'b'].map((orderingKey) => aMessage({ orderingKey })))
    const { broker, relay, observer } = setup({ maxAttempts: 2 })
    broker.failWith((message) => (message.id === ids[0] ? failure('retryable') : null))
    relay.start()

    await observer.waitFor('key.held')
    await add(aMessage({ orderingKey: 'a' }), aMessage({ orderingKey: 'b' }))
    await broker.received(3)

    expect(broker.accepted.map((message) => message.orderingKey)).toEqual(['b', 'b', 'b'])
    const letter = (await pool.query('select * from malote.dead_letters')).rows[0]
    expect(letter).toMatchObject({ id: ids[0], attempts: 2, reason: 'MAX_ATTEMPTS', ordering_key: 'a' })
    expect(letter.failures).toHaveLength(2)
    expect(await count('messages')).toBe(2)
  })

  it('a dead message is skipped where its topic says so', async () => {
    const ids = await add(...[1, 2, 3].map(() => aMessage({ orderingKey: 'a' })))
    const { broker, relay } = setup({ afterDeadLetter: 'skip' })
    broker.failWith((message) => (message.id === ids[0] ? failure('permanent') : null))
    relay.start()

    await broker.received(2)

    expect(broker.accepted.map((message) => message.id)).toEqual(ids.slice(1))
    expect(await count('held_keys')).toBe(0)
  })

  it('an outage spends no attempts', async () => {
    await add(...Array.from({ length: 50 }, () => aMessage()))
    const { broker, relay, observer } = setup({ maxAttempts: 1 })
    broker.goDown()
    relay.start()
    await observer.waitFor('outage.started')
    while (broker.batches.length < 5) await new Promise((resolve) => setImmediate(resolve))

    broker.goUp()
    await broker.received(50)

    await observer.waitFor('outage.ended')
    expect(broker.accepted.every((message) => message.attempt === 1)).toBe(true)
    expect(await count('dead_letters')).toBe(0)
  })

  it('a message that makes the publisher throw is found among its neighbours and pays alone', async () => {
    const ids = await add(...Array.from({ length: 100 }, () => aMessage()))
    const { broker, relay, observer } = setup({ maxAttempts: 2 })
    broker.beforePublish((batch) => {
      if (batch.some((message) => message.id === ids[37])) throw new Error('boom')
    })
    relay.start()

    await observer.waitFor('message.retry-scheduled')
    await broker.received(99)
    observer.clear()
    await observer.waitFor('outage.started')
    await add(aMessage()) // Alone it cannot be told from an outage: only other messages that pass prove the broker well.
    await observer.waitFor('message.dead-lettered')

    expect((await pool.query('select id from malote.dead_letters')).rows).toEqual([{ id: ids[37] }])
  })
})

describe('lanes', () => {
  it('two relays share the lanes, and one that stops leaves its share at once', async () => {
    const first = setup()
    first.relay.start()
    await first.observer.waitFor('lanes.acquired')
    const second = setup()
    second.relay.start()
    const { lanes } = await second.observer.waitFor('lanes.acquired')
    expect(lanes.length).toBeLessThanOrEqual(32)

    await second.relay.stop()
    await add(...Array.from({ length: 200 }, (_, n) => aMessage({ orderingKey: `k${n}` })))

    await first.broker.received(200 - second.broker.accepted.length)
    expect(first.broker.accepted.length + second.broker.accepted.length).toBe(200)
  })
})
