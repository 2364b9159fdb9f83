import { type ConsumerStores, openConsumerStores } from '@malote/testing/consumer-stores'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { createMessageProcessor, resolveConsumerOptions } from '../src/adapter/index.ts'
import {
  type ConsumerEvent,
  type ConsumerOptions,
  type ConsumerStore,
  HandlerOutageError,
  UnknownTypeError,
} from '../src/index.ts'
import { aMessageInHand, aReceivedMessage, eventually } from '../src/testing/index.ts'

let stores: ConsumerStores
beforeAll(async () => {
  stores = await openConsumerStores(inject('postgresUrl'))
})
afterAll(() => stores.close())

describe('a consumer with a store', () => {
  function processing(options: Partial<ConsumerOptions>) {
    const { store, streams, consumer } = stores.setup()
    const events: ConsumerEvent[] = []
    const create = (more: Partial<ConsumerOptions> = {}) =>
      createMessageProcessor(
        resolveConsumerOptions({
          handler: () => Promise.resolve(),
          backoff: () => 0,
          store,
          onEvent: (event) => void events.push(event),
          ...options,
          ...more,
        }),
      )
    return { store, streams, consumer, events, create }
  }

  it('costs no row for what is handled at its first delivery', async () => {
    const { create, consumer } = processing({})

    await create().process(aMessageInHand())

    const { rows } = await stores.db.query('select 1 from malote.consumer_calls where consumer = $1', [consumer])
    expect(rows).toEqual([])
  })

  it('the broker counts deliveries, not attempts: give-backs, unknown types and outages spend nothing', async () => {
    const { create } = processing({ maxAttempts: 3 })
    const message = aReceivedMessage()
    const errors = [
      new UnknownTypeError('x'),
      new HandlerOutageError('x'),
      new UnknownTypeError('x'),
      new Error('x'),
      new Error('x'),
    ]
    const attempts: number[] = []
    const handler: ConsumerOptions['handler'] = ({ attempt }) => {
      attempts.push(attempt)
      const error = errors.shift()
      return error === undefined ? Promise.resolve() : Promise.reject(error)
    }

    // A process of its own for each delivery.
    for (let delivery = 0; delivery < 5; delivery++)
      await create({ handler }).process(aMessageInHand({ received: { message }, isRedelivered: true, attempt: 50 }))

    expect(errors).toEqual([])
    expect(attempts).toEqual([1, 1, 1, 1, 2, 3])
  })

  it('a letter that waits carries its count itself: brought back without the letter, the message has a full count', async () => {
    const { store, create } = processing({ handler: () => Promise.reject(new Error('no stock')) })
    const message = aReceivedMessage()
    await store.count(message.id, 4)
    const away = () => Promise.reject(new Error('the queue for dead letters is away'))
    const inHand = { received: { message }, isRedelivered: true, deadLetter: away, defer: () => Promise.resolve(1_000) }

    expect(await create().process(aMessageInHand(inHand))).toBe('retried')

    expect(await store.look(message)).toMatchObject({ calls: 0 })
  })

  it('only what kills alone is poison: a message that was called beside it is called again', async () => {
    const { store, create, events } = processing({ maxAttempts: 3 })
    const [killer, beside] = [aReceivedMessage(), aReceivedMessage()]
    // Two processes died with both of them under way.
    for (const { id } of [killer, beside]) await store.begin(id)
    await store.begin(killer.id)
    const handled: string[] = []
    const processor = create({ handler: ({ message }) => Promise.resolve(void handled.push(message.id)) })

    const letters: string[] = []
    for (const message of [killer, beside])
      await processor.process(
        aMessageInHand({
          received: { message },
          isRedelivered: true,
          deadLetter: ({ note }) =>
            Promise.resolve(void letters.push(`${message.id} ${note.reason} ${String(note.attempts)}`)),
        }),
      )

    expect(letters).toEqual([`${killer.id} POISON 2`])
    expect(handled).toEqual([beside.id])
    expect(events.filter(({ type }) => type === 'message.dead-lettered')).toHaveLength(1)
  })

  it('a suspect is called while no other is', async () => {
    const { store, create } = processing({})
    const suspect = aReceivedMessage()
    await store.begin(suspect.id)
    const looked = Promise.withResolvers<void>()
    const watched: ConsumerStore = {
      ...store,
      look: (message) => store.look(message).finally(() => looked.resolve()),
    }
    const gate = Promise.withResolvers<void>()
    const running = new Set<string>()
    const besides: number[] = []
    const processor = create({
      store: watched,
      handler: async ({ message }) => {
        running.add(message.id)
        if (running.has(suspect.id)) besides.push(running.size)
        if (message.id !== suspect.id) await gate.promise
        await new Promise((resolve) => setTimeout(resolve, 10))
        running.delete(message.id)
      },
    })
    const process = (inHand = aMessageInHand()) => processor.process(inHand)

    const before = [process(), process()]
    const ended = process(aMessageInHand({ received: { message: suspect }, isRedelivered: true }))
    await looked.promise
    await new Promise((resolve) => setTimeout(resolve, 20)) // It would be called now.
    expect(running.has(suspect.id)).toBe(false)
    const after = [process(), process()]
    gate.resolve()
    await Promise.all([...before, ended, ...after])

    expect(besides).toEqual([1])
  })

  it('while the store does not answer, nothing is called and nothing is lost', async () => {
    const { store, create, events } = processing({})
    let isAway = true
    const flaky = new Proxy(store, {
      get: (target, name: keyof typeof store) =>
        isAway ? () => Promise.reject(new Error('away')) : target[name].bind(target),
    })
    const calls: number[] = []
    const processor = create({ store: flaky, handler: ({ attempt }) => Promise.resolve(void calls.push(attempt)) })

    const end = processor.process(aMessageInHand({ isRedelivered: true }))
    await eventually(() => expect(events.some(({ type }) => type === 'message.outage')).toBe(true))
    expect(calls).toEqual([])
    isAway = false

    expect(await end).toBe('settled')
    expect(calls).toEqual([1])
  })

  it('a held stream is refused without a store', () => {
    expect(() => resolveConsumerOptions({ handler: () => Promise.resolve(), afterDeadLetter: 'hold' })).toThrow(/store/)
  })

  it.each([
    ['while the hold is being written', 'writing'],
    ['between the hold and its acknowledgement', 'written'],
  ])('a process that dies %s leaves its stream held once, with nothing passed and nothing lost', async (_, point) => {
    const { create, store, streams, consumer } = processing({ maxAttempts: 2, afterDeadLetter: 'hold' })
    const messages = Array.from({ length: 3 }, () => aReceivedMessage({ orderingKey: 'k' }))
    const stock = { isThere: false }
    const handled: string[] = []
    const calls: string[] = []
    const handler: ConsumerOptions['handler'] = ({ message }) => {
      calls.push(message.id)
      if (!stock.isThere) return Promise.reject(new Error('no stock'))
      return Promise.resolve(void handled.push(message.id))
    }
    const reached = Promise.withResolvers<void>()
    const dying: ConsumerStore = {
      ...store,
      hold: async (message, why) => {
        if (point === 'written') await store.hold(message, why)
        reached.resolve()
        await new Promise(() => {})
      },
    }

    const inHand = { received: { message: messages[0]! }, retry: () => false }
    void create({ handler, store: dying }).process(aMessageInHand(inHand))
    await reached.promise
    const next = create({ handler })
    for (const message of messages)
      expect(
        await next.process(aMessageInHand({ received: { message }, isRedelivered: true, retry: () => false })),
      ).toBe('settled')

    expect(calls).toEqual([messages[0]!.id, messages[0]!.id])
    expect(await streams.list({ consumer })).toMatchObject([
      { deadMessageId: messages[0]!.id, isHeld: true, waiting: 2, note: { reason: 'MAX_ATTEMPTS', attempts: 2 } },
    ])
    stock.isThere = true
    await streams.release({ consumer, topic: 'orders', orderingKey: 'k' }, 'retry')
    const ending = new AbortController()
    const released = next.handleReleased({ ending: ending.signal })
    await eventually(async () => expect(await streams.list({ consumer })).toEqual([]))
    ending.abort()
    await released
    expect(handled).toEqual(messages.map(({ id }) => id))
  })

  it('what an operator let go on is handled in order, beside what arrives', async () => {
    const { create, streams, consumer, events } = processing({ maxAttempts: 1, afterDeadLetter: 'hold' })
    const messages = Array.from({ length: 6 }, () => aReceivedMessage({ orderingKey: 'k' }))
    const stock = { isThere: false }
    const handled: string[] = []
    const processor = create({
      handler: ({ message }) => {
        if (!stock.isThere) return Promise.reject(new Error('no stock'))
        return Promise.resolve(void handled.push(message.id))
      },
    })
    const ending = new AbortController()
    const released = processor.handleReleased({ ending: ending.signal })

    for (const message of messages.slice(0, 4)) await processor.process(aMessageInHand({ received: { message } }))
    expect(events.map(({ type }) => type)).toEqual([
      'stream.held',
      'message.dead-lettered',
      'message.parked',
      'message.parked',
      'message.parked',
    ])
    stock.isThere = true
    await streams.release({ consumer, topic: 'orders', orderingKey: 'k' }, 'retry')
    for (const message of messages.slice(4)) await processor.process(aMessageInHand({ received: { message } }))
    await eventually(() => expect(handled).toHaveLength(6))
    await eventually(async () => expect(await streams.list({ consumer })).toEqual([]))
    ending.abort()
    await released

    expect(handled).toEqual(messages.map(({ id }) => id))
  })
})
