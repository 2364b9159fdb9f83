import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { scaled } from '@malote/testing/slowness'
import { eventually } from '../../src/testing/index.ts'
import { createOutbox, type RelayOptions } from '../../src/index.ts'
import { aMessage, createRelayBench, type RelayBench, type StartedRelay } from '../relay-bench.ts'

let bench: RelayBench

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(() => bench.reset())
afterAll(() => bench.database.drop())

async function asleep(options: Partial<RelayOptions> = {}): Promise<StartedRelay> {
  const started = bench.relay(options)
  started.relay.start()
  await untilAsleep()
  return started
}

async function untilAsleep(): Promise<void> {
  await eventually(async () => {
    expect((await bench.pool.query('select asleep from malote.doorbell')).rows).toEqual([{ asleep: true }])
  })
}

/** Far beyond any test's bound: who depends on polling is not heard. */
const neverPolls = 600_000

async function received(started: StartedRelay, count: number, withinMs = 2_000): Promise<void> {
  const startMs = performance.now()
  await started.broker.received(count)
  expect(performance.now() - startMs).toBeLessThan(scaled(withinMs))
}

/** The relay's queries come as objects, with the types they are read by. */
const textOf = (query: unknown): string => (typeof query === 'string' ? query : (query as { text: string }).text)

describe('a sleeping relay', () => {
  it('is woken by a commit long before it would look again', async () => {
    const started = await asleep({ pollIntervalMs: neverPolls })

    await bench.add(aMessage())

    await received(started, 1)
  })

  it('publishes what was inserted before it slept and committed after (race 13)', async () => {
    const writer = await bench.database.client({ connectionString: bench.urlAs.writer })
    await writer.query('begin')
    const started = bench.relay({ pollIntervalMs: neverPolls })
    await createOutbox().add(writer, aMessage()) // Nobody sleeps yet, so this transaction will not ring.
    started.relay.start()
    await untilAsleep()

    await writer.query('commit')

    await received(started, 1)
  })

  it('publishes what committed after it lay down and before it looked who might (race 13)', async () => {
    const writer = await bench.database.client({ connectionString: bench.urlAs.writer })
    await writer.query('begin')
    await createOutbox().add(writer, aMessage()) // Nobody sleeps yet, so this transaction will not ring.
    const pool = bench.relayPool()
    pool.on('connect', (client) => {
      const query = client.query.bind(client) as (text: unknown, values: unknown[]) => Promise<unknown>
      client.query = (async (text: unknown, values: unknown[]) => {
        const answer = await query(text, values)
        if (textOf(text).includes('.doorbell (relay, asleep)') && values[1] === true) await writer.query('commit')
        return answer
      }) as never
    })
    const started = bench.relay({ pool, pollIntervalMs: neverPolls })

    started.relay.start()

    await received(started, 1, 10_000)
  })

  it('finds by polling what a repeatable-read writer with an older snapshot committed (race 13)', async () => {
    const writer = await bench.database.client({ connectionString: bench.urlAs.writer })
    await writer.query('begin isolation level repeatable read')
    await writer.query('select 1 from malote.relays')
    const started = await asleep({ pollIntervalMs: 300 })
    await createOutbox().add(writer, aMessage())

    await writer.query('commit')

    await received(started, 1)
  })

  it('that died does not make every writer ring (race 13)', async () => {
    await bench.pool.query(
      `insert into malote.relays (id, name, lease_until) values (gen_random_uuid(), 'dead', clock_timestamp() - interval '1 s');
       insert into malote.doorbell (relay, asleep) select id, true from malote.relays`,
    )

    const { rows } = await bench.pool.query(
      `select malote.add_message(gen_random_uuid()::text, 't', 'x', null, '{}', 'application/json', null) as rang`,
    )

    expect(rows).toEqual([{ rang: false }])
  })

  it('asks little of the database', async () => {
    const statements: string[] = []
    const pool = bench.relayPool()
    pool.on('connect', (client) => {
      const query = client.query.bind(client) as (...values: unknown[]) => unknown
      client.query = ((...values: unknown[]) => {
        statements.push(String(values[0]))
        return query(...values)
      }) as never
    })
    await asleep({ pool })
    const endMs = performance.now() + 3_000
    statements.length = 0
    while (performance.now() < endMs) await bench.pool.query('select pg_sleep(0.5)')

    expect(statements.length).toBeLessThanOrEqual(15)
  })

  it('says so when nothing is heard, and polls', async () => {
    const pool = bench.relayPool()
    pool.on('connect', (client) => {
      const query = client.query.bind(client) as (...values: unknown[]) => unknown
      // As through a transaction-mode pooler: LISTEN is accepted and never heard of again.
      client.query = ((text: unknown, values: unknown) =>
        query(textOf(text).startsWith('listen') ? 'select 1' : text, values)) as never
    })
    const started = bench.relay({ pool, pollIntervalMs: 100 })
    started.relay.start()
    await bench.add(aMessage())

    await received(started, 1)
    await started.observer.waitFor('doorbell.unavailable')
    await bench.add(aMessage())
    await received(started, 2)
  })
})
