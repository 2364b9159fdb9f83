import { describeConformance } from '@malote/testing/conformance'
import { describe, expect, it } from 'vitest'
import { createRoutingPublisher, type Publisher, type PublishResult } from '../src/index.ts'
import { createMemoryBroker, anOutboxMessage, publisherConformance } from '../src/testing/index.ts'
import { absences, createMemoryHarness } from './memory-harness.ts'

// Topics of the kit are random ids: about half of a batch of several goes each way.
const harness = createMemoryHarness((create) =>
  createRoutingPublisher([
    { name: 'even', topics: (topic) => Number.parseInt(topic.slice(0, 1), 16) % 2 === 0, publisher: create() },
    { name: 'odd', topics: ['*'], publisher: create() },
  ]),
)
describeConformance('publisher', 'routes', publisherConformance, () => harness, absences)

const signal = new AbortController().signal
const to = (topic: string) => anOutboxMessage({ topic })
const closed = (close: () => Promise<void>): Publisher => ({ name: 'b', publish: () => Promise.resolve([]), close })

function failuresOf(results: readonly PublishResult[]): unknown[] {
  return results.flatMap((result) => (result.status === 'failed' ? [result.failure] : []))
}

describe('a routing publisher', () => {
  it('sends each topic the first way that names it', async () => {
    const [sns, sqs, rest] = [createMemoryBroker(), createMemoryBroker(), createMemoryBroker()]
    const publisher = createRoutingPublisher([
      { name: 'sns', topics: ['orders.placed'], publisher: sns },
      { name: 'sqs', topics: ['orders.*', 'mails'], publisher: sqs },
      { name: 'rest', topics: (topic) => topic.startsWith('m'), publisher: rest },
    ])

    await publisher.publish(['orders.placed', 'orders.paid', 'mails', 'mailings'].map(to), signal)

    const topics = [sns, sqs, rest].map(({ accepted }) => accepted.map(({ topic }) => topic))
    expect(topics).toEqual([['orders.placed'], ['orders.paid', 'mails'], ['mailings']])
    expect(publisher.routeOf?.('mailings')).toMatchObject({ name: 'rest' })
  })

  it('says of a topic without a route that its destination is unavailable, and loses nothing', async () => {
    const broker = createMemoryBroker()
    const publisher = createRoutingPublisher([{ topics: ['orders'], publisher: broker }])

    const results = await publisher.publish([to('order'), to('orders')], signal)

    expect(broker.accepted).toHaveLength(1)
    expect(failuresOf(results)).toMatchObject([{ kind: 'unavailable', destination: 'topic "order"', code: 'NO_ROUTE' }])
  })

  it('names the route of a destination: two brokers may have a queue of one name', async () => {
    const broker = createMemoryBroker()
    broker.failWith(() => ({ kind: 'unavailable', destination: 'queue "a"', code: 'NO_QUEUE', message: '' }))
    const publisher = createRoutingPublisher([{ name: 'sqs', topics: ['*'], publisher: broker }])

    expect(failuresOf(await publisher.publish([to('a')], signal))).toMatchObject([{ destination: 'sqs: queue "a"' }])
  })

  it('rejects when all routes of the batch reject, and blames a route alone when others answer', async () => {
    const [up, down] = [createMemoryBroker(), createMemoryBroker()]
    down.goDown()
    const publisher = createRoutingPublisher([
      { name: 'up', topics: ['a'], publisher: up },
      { name: 'down', topics: ['b'], publisher: down },
    ])

    await expect(publisher.publish([to('b')], signal)).rejects.toThrow('down')
    const results = await publisher.publish([to('a'), to('b')], signal)

    expect(failuresOf(results)).toMatchObject([
      { kind: 'unavailable', destination: 'route "down"', code: 'REJECTED', message: 'the memory broker is down' },
    ])
  })

  it('closes every publisher once, also when one fails to close', async () => {
    const log: string[] = []
    const both = closed(() => Promise.resolve(void log.push('both')))
    const failing = closed(() => Promise.reject(new Error('no')))
    const publisher = createRoutingPublisher([
      { name: '1', topics: ['a'], publisher: failing },
      { name: '2', topics: ['b'], publisher: both },
      { name: '3', topics: ['c'], publisher: both },
    ])

    await expect(publisher.close()).rejects.toThrow('no')
    expect(log).toEqual(['both'])
  })

  it.each([
    ['no route', []],
    ['two of one name', ['a', 'b'].map((topic) => ({ topics: [topic], publisher: createMemoryBroker() }))],
    ['something else as topics', [{ topics: 'a' as never, publisher: createMemoryBroker() }]],
    ['something else as publisher', [{ topics: ['a'], publisher: {} as never }]],
    ['no place at all', [{ topics: ['a'], publisher: createMemoryBroker(), concurrency: 0 }]],
  ])('refuses %s', (_what, routes) => {
    expect(() => createRoutingPublisher(routes)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }))
  })
})
