import { describe, expect, it } from 'vitest'
import { aDelivery, anOutboxMessage, createMemoryBroker, expectPublished } from '../src/testing/index.ts'

const never = new AbortController().signal

describe('expectPublished', () => {
  it('finds the message by what is named of it, and waits for one that comes later', async () => {
    const broker = createMemoryBroker()
    const message = anOutboxMessage({
      body: '{"cents":5,"lines":[{"n":1,"of":2}]}',
      orderingKey: 'k',
      headers: { a: '1', b: '2' },
    })

    const finding = expectPublished(broker, { payload: { lines: [{ n: 1 }] }, headers: { a: '1' }, orderingKey: 'k' })
    await broker.publish([anOutboxMessage(), message], never)

    expect(await finding).toBe(message)
  })

  it.each([
    { payload: { lines: [] } },
    { payload: { cents: '5' } },
    { headers: { a: '2' } },
    { orderingKey: null },
    { type: 'x' },
  ])('refuses what differs: %j', async (expected) => {
    const broker = createMemoryBroker()
    await broker.publish(
      [anOutboxMessage({ body: '{"cents":5,"lines":[1]}', orderingKey: 'k', headers: { a: '1' } })],
      never,
    )

    await expect(expectPublished(broker, expected, { withinMs: 0 })).rejects.toThrow(
      /published: \n {2}orders order\.accepted key=k/,
    )
  })

  it('says so when nothing was published', async () => {
    await expect(expectPublished(createMemoryBroker(), { type: 't' }, { withinMs: 0 })).rejects.toThrow(
      'published: nothing',
    )
  })
})

describe('the memory broker', () => {
  it('gives every group every message, also those from before it, and repeats them when told', async () => {
    const broker = createMemoryBroker()
    const seen: string[] = []
    await broker.publish([anOutboxMessage({ id: 'm1' }), anOutboxMessage({ id: 'm2' })], never)
    const consumers = ['a', 'b'].map((group) =>
      broker.createConsumer({
        topic: 'orders',
        group,
        handler: ({ message }) => Promise.resolve(void seen.push(`${group} ${message.id}`)),
      }),
    )
    await Promise.all(consumers.map((consumer) => consumer.start()))
    await broker.settled()
    const once = [...seen].sort()
    broker.redeliver()
    await broker.settled()
    await Promise.all(consumers.map((consumer) => consumer.stop()))

    expect(once).toEqual(['a m1', 'a m2', 'b m1', 'b m2'])
    expect([...seen].sort()).toEqual([...once, ...once].sort())
  })

  it('shuffles what has no order, the same way for the same seed, and never what has one', async () => {
    const orderFor = async (seed: number): Promise<string[]> => {
      const broker = createMemoryBroker()
      const seen: string[] = []
      broker.shuffle(seed)
      const ids = Array.from({ length: 12 }, (_, n) => `${n % 2 === 0 ? 'k' : 'x'}${String(n)}`)
      await broker.publish(
        ids.map((id) => anOutboxMessage({ id, orderingKey: id.startsWith('k') ? 'key' : null })),
        never,
      )
      const handler = ({ message }: { message: { id: string } }): Promise<void> =>
        Promise.resolve(void seen.push(message.id))
      const consumer = broker.createConsumer({ topic: 'orders', concurrency: 1, handler })
      await consumer.start()
      await broker.settled()
      await consumer.stop()
      return seen
    }
    const first = await orderFor(7)

    expect(first).toEqual(await orderFor(7))
    expect(first).not.toEqual(await orderFor(8))
    expect(first.filter((id) => id.startsWith('k'))).toEqual(['k0', 'k2', 'k4', 'k6', 'k8', 'k10'])
    expect(first.filter((id) => id.startsWith('x'))).not.toEqual(['x1', 'x3', 'x5', 'x7', 'x9', 'x11'])
  })

  it('makes deliveries for handlers that are tested alone', () => {
    const delivery = aDelivery({ type: 'order.rejected', payload: { cents: 3 }, attempt: 2 })

    expect([delivery.message.json(), delivery.message.type, delivery.attempt]).toEqual([
      { cents: 3 },
      'order.rejected',
      2,
    ])
  })
})
