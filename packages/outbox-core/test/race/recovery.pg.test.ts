import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import type { OutboxMessage } from '../../src/index.ts'
import { eventually } from '../../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from '../relay-bench.ts'
import { createSteppedRelay } from './stepped-relay.ts'

let bench: RelayBench

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(() => bench.reset())
afterAll(() => bench.database.drop())

const keyed = (count: number, keys: number) =>
  Array.from({ length: count }, (_, n) => aMessage({ orderingKey: `k${String(n % keys)}`, payload: { n } }))

/** As a replay leaves them, and as failures whose pause is over: due since the instant that `sql` names, by `n` from 0. */
async function wait(ids: readonly string[], sql: string): Promise<void> {
  await bench.pool.query(
    `update malote.messages as m set available_at = ${sql}
     from unnest($1::uuid[]) with ordinality as named (id, place), lateral (select place - 1 as n) as at where m.id = named.id`,
    [ids],
  )
}

function assertInOrder(accepted: readonly OutboxMessage[], ids: readonly string[]): void {
  const places = new Map(ids.map((id, at) => [id, at]))
  const last = new Map<string | null, number>()
  for (const { id, orderingKey } of accepted) {
    expect(places.get(id)).toBeGreaterThan(last.get(orderingKey) ?? -1)
    last.set(orderingKey, places.get(id) as number)
  }
}

describe('messages of one key that wait and are due', () => {
  it.each([
    // More than one look takes in, where it matters.
    ['all since the same instant', 300, 'now()'],
    ['the first of them last', 3_200, `now() - n * interval '1 millisecond'`],
    ['in any sequence', 3_200, `now() - (n * 7919 % 1000) * interval '1 millisecond'`],
  ])('leave as fast as others, in order: %s', async (_, count, since) => {
    const ids = await bench.add(...keyed(count, 1))
    await wait(ids, since)
    const { relay, broker, observer } = bench.relay()
    relay.start()
    await broker.received(count)

    assertInOrder(broker.accepted, ids)
    // One look and one read for hundreds of them, not one for each.
    expect(observer.of('batch.settled').length).toBeLessThan(100)
  })

  it('are read on, each once, while the first of them are under way', async () => {
    const ids = await bench.add(...keyed(3_200, 1))
    await wait(ids, 'now()')
    const { reader, backlog, connections } = await createSteppedRelay(bench.as.relay, { maxMessages: 10_000 })
    const reports = [await reader.readWaiting()]
    const first = backlog.take(500)
    for (let more = 0; more < 2; more++) reports.push(await reader.readWaiting())
    backlog.end(first, { failed: [], returned: first })
    connections.destroy()

    expect(reports).toEqual([3_000, 200, 0].map((messages) => ({ messages, isPartial: messages === 3_000 })))
    expect(backlog.take(4_000).map(({ message }) => message.id)).toEqual(ids)
  })

  it('leave up to the first that is not due, and from there on when it is', async () => {
    const ids = await bench.add(...keyed(20, 1))
    await wait(ids, `now() + case when n = 7 then interval '1 hour' else interval '0' end`)
    const { relay, broker } = bench.relay()
    relay.start()
    await broker.received(7)
    const other = await bench.add(aMessage({ orderingKey: 'other' }))
    await broker.received(8)
    expect(broker.accepted.map(({ id }) => id)).toEqual([...ids.slice(0, 7), ...other])

    await wait(ids.slice(7), 'now()')
    await broker.received(21)

    expect(broker.accepted.slice(8).map(({ id }) => id)).toEqual(ids.slice(7))
  })

  it('behind one that is not due, more than one read takes in, keep no other key back', async () => {
    const ids = await bench.add(...keyed(3_100, 1))
    await wait(ids, `now() + case when n = 0 then interval '1 hour' else interval '-1 minute' end`)
    const others = await bench.add(...Array.from({ length: 3 }, () => aMessage({ orderingKey: 'other' })))
    await wait(others, 'now()')
    const { relay, broker } = bench.relay()
    relay.start()
    await broker.received(3)

    expect(broker.accepted.map(({ id }) => id)).toEqual(others)
  })

  it('wait behind one of them that fails again, which alone pays', async () => {
    const ids = await bench.add(...keyed(50, 1))
    await wait(ids, 'now()')
    const { relay, broker, observer } = bench.relay({ backoff: () => 200 })
    const failing = ids[20] as string
    let failures = 0
    broker.failWith(({ id }) =>
      id === failing && failures++ < 2 ? { kind: 'retryable', code: 'BUSY', message: 'not now' } : null,
    )
    relay.start()
    await broker.received(50)

    expect(broker.accepted.map(({ id }) => id)).toEqual(ids)
    expect(observer.of('message.retry-scheduled').map(({ id }) => id)).toEqual([failing, failing])
  })
})

it('a message replayed while those behind it are read and rejected goes before them', async () => {
  const { relay, broker, observer } = bench.relay({ outageBackoff: () => 100 })
  const ids = await bench.add(...keyed(10, 1))
  // The fifth is elsewhere until the broker has rejected the others.
  const moved = `with gone as (delete from malote.messages where id = $1 returning *) select seq::text, lane from gone`
  const { rows } = await bench.pool.query<{ seq: string }>(moved, [ids[4]])
  await wait(ids, 'now()')
  const heard = Promise.withResolvers<void>()
  broker.beforePublish((batch) => {
    if (!batch.some(({ id }) => id === ids[5])) heard.resolve()
    throw new Error('out of reach')
  })
  relay.start()
  await observer.waitFor('outage.started')
  await bench.pool.query(
    `insert into malote.messages (seq, id, topic, type, ordering_key, payload, available_at) overriding system value
     values ($1, $2, 'orders', 'order.accepted', 'k0', '{}', now())`,
    [rows[0]?.seq, ids[4]],
  )
  await bench.pool.query(`select pg_notify('malote', 'keys')`)
  await heard.promise
  broker.beforePublish(() => {})
  await broker.received(10)

  expect(broker.accepted.map(({ id }) => id)).toEqual(ids)
})

it('messages of many keys that wait and are due leave as fast as others, and what is ready behind them follows', async () => {
  const ids = await bench.add(...keyed(1_000, 40))
  await wait(ids.slice(0, 700), 'clock_timestamp()')
  const { relay, broker } = bench.relay()
  relay.start()
  await broker.received(1_000)

  assertInOrder(broker.accepted, ids)
  await eventually(async () => expect(await bench.count('messages')).toBe(0))
})
