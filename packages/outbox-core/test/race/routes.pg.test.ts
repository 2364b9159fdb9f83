import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createRoutingPublisher, type OutboxMessage, outboxStatus, type Route } from '../../src/index.ts'
import { createMemoryBroker, eventually, type MemoryBroker } from '../../src/testing/index.ts'
import { aMessage, createRelayBench, type RelayBench } from '../relay-bench.ts'

let bench: RelayBench

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(async () => {
  await bench.reset()
  await bench.pool.query('delete from malote.outages')
})
afterAll(() => bench.database.drop())

const keyed = (topic: string, count: number) =>
  Array.from({ length: count }, (_, n) => aMessage({ topic, orderingKey: `k${String(n % 7)}`, payload: { n } }))

/** One outbox and two brokers, each with a topic of its name. */
function twoWays(change: Partial<Route> = {}) {
  const brokers = { one: createMemoryBroker(), two: createMemoryBroker() }
  const publisher = createRoutingPublisher([
    { name: 'one', topics: ['one*'], publisher: brokers.one, ...change },
    { name: 'two', topics: ['two*'], publisher: brokers.two },
  ])
  return { ...brokers, publisher }
}

const idsOf = (messages: readonly OutboxMessage[]): string[] => messages.map(({ id }) => id)

function assertInOrder(broker: MemoryBroker, ids: readonly string[]): void {
  const keys = new Map<string | null, string[]>()
  for (const message of broker.accepted)
    keys.set(message.orderingKey, [...(keys.get(message.orderingKey) ?? []), message.id])
  for (const key of keys.values()) expect(key).toEqual(ids.filter((id) => key.includes(id)))
}

describe('of two routes of one outbox', () => {
  it('one whose broker is out of reach costs the other nothing, nobody an attempt, and goes on in order', async () => {
    const { one, two, publisher } = twoWays()
    const { relay, observer } = bench.relay({ publisher, maxAttempts: 2, maxBufferedMessages: 500 })
    one.goDown()
    const waiting = await bench.add(...keyed('one', 2_000))
    relay.start()
    await observer.waitFor('outage.started')
    const passing = await bench.add(...keyed('two', 2_000))
    await two.received(2_000)

    await eventually(async () =>
      expect((await outboxStatus(bench.as.reader)).outages).toMatchObject([
        { destination: 'route "one"', topics: ['one'], code: 'REJECTED', backlog: 2_000 },
      ]),
    )
    expect(await bench.pool.query('select max(attempts) as most from malote.messages')).toMatchObject({
      rows: [{ most: 0 }],
    })
    one.goUp()
    await one.received(2_000)

    assertInOrder(one, waiting)
    assertInOrder(two, passing)
    expect([one, two].map(({ accepted }) => accepted.length)).toEqual([2_000, 2_000])
    expect(observer.of('message.retry-scheduled')).toEqual([])
  })

  it('one that hangs takes no place of the other, and no message of the other waits in its batches', async () => {
    const { one, two, publisher } = twoWays()
    const { relay } = bench.relay({ publisher, concurrency: 1, publishTimeoutMs: 60_000 })
    const hang = Promise.withResolvers<void>()
    one.beforePublish(() => hang.promise)
    relay.start()
    await bench.add(...keyed('one', 10), ...keyed('two', 10))

    await two.received(10)
    const acceptedMeanwhile = one.accepted.length
    hang.resolve()
    await one.received(10)

    expect(acceptedMeanwhile).toBe(0)
  })

  it('each has as many publishes under way as it says', async () => {
    const { one, two, publisher } = twoWays({ concurrency: 2 })
    const { relay } = bench.relay({ publisher, batchSize: 1, concurrency: 3, publishTimeoutMs: 60_000 })
    const hang = Promise.withResolvers<void>()
    for (const broker of [one, two]) broker.beforePublish(() => hang.promise)
    await bench.add(...['one', 'two'].flatMap((topic) => Array.from({ length: 5 }, () => aMessage({ topic }))))
    relay.start()

    await eventually(() => expect([one, two].map(({ batches }) => batches.length)).toEqual([2, 3]))
    hang.resolve()
    await Promise.all([one.received(5), two.received(5)])
  })

  it('a message that makes its publisher throw is found among its neighbours and pays alone', async () => {
    const { one, two, publisher } = twoWays()
    const { relay, observer } = bench.relay({ publisher, maxAttempts: 1, destinationBackoff: () => 5 })
    const [culprit] = await bench.add(...keyed('one', 40))
    one.beforePublish((batch) => {
      if (idsOf(batch).includes(culprit as string)) throw new Error('cannot encode')
    })
    relay.start()
    await bench.add(...keyed('two', 40))

    // Others of the topic that pass prove that the broker is there; what is left of the first forty may not be enough.
    await eventually(async () => {
      await bench.add(aMessage({ topic: 'one', orderingKey: 'other' }))
      expect(observer.of('message.dead-lettered')).toHaveLength(1)
    })
    await two.received(40)

    expect(observer.of('message.dead-lettered').map(({ id }) => id)).toEqual([culprit])
    // Those behind it in its key wait for an operator.
    await one.received(34)
  })

  it('a topic without a route waits until a relay comes that knows one', async () => {
    const { one, publisher } = twoWays()
    const first = bench.relay({ publisher })
    const ids = await bench.add(...keyed('three', 10))
    first.relay.start()
    await first.observer.waitFor('outage.started')
    await first.relay.stop()

    const second = bench.relay({ publisher: createRoutingPublisher([{ topics: ['*'], publisher: one }]) })
    second.relay.start()

    await one.received(10)
    assertInOrder(one, ids)
  })
})
