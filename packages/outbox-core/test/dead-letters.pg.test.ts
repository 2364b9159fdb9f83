import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createDeadLetters, createHeldKeys, type RelayOptions } from '../src/index.ts'
import { aMessage, createRelayBench, type RelayBench, type StartedRelay } from './relay-bench.ts'

let bench: RelayBench

beforeAll(async () => {
  bench = await createRelayBench(inject('postgresUrl'))
})
afterEach(() => bench.reset())
afterAll(() => bench.database.drop())

/** Three messages of key `a`, the first dead; one more of key `a` added after. */
async function aDeadLetter(options: Partial<RelayOptions> = {}): Promise<StartedRelay & { ids: readonly string[] }> {
  const started = bench.relay({ maxAttempts: 1, ...options })
  const ids = await bench.add(
    ...[1, 2, 3].map((n) => aMessage({ orderingKey: 'a', payload: { n }, headers: { h: '1' } })),
  )
  started.broker.failWith((message) =>
    message.id === ids[0] ? { kind: 'retryable', code: 'NOPE', message: 'no \0 luck' } : null,
  )
  started.relay.start()
  await started.observer.waitFor('message.dead-lettered')
  started.broker.failWith(() => null)
  return { ...started, ids: [...ids, ...(await bench.add(aMessage({ orderingKey: 'a' })))] }
}

describe('a dead letter', () => {
  it('is listed without and shown with its body and failures', async () => {
    const { ids } = await aDeadLetter()
    const letters = createDeadLetters({ db: bench.as.operator })

    const [letter] = await letters.list({ topic: 'orders' })
    const detail = await letters.get(letter?.deadLetterId ?? '')

    expect(letter).toMatchObject({ id: ids[0], reason: 'MAX_ATTEMPTS', attempts: 1, lastFailure: { code: 'NOPE' } })
    expect(letter).not.toHaveProperty('body')
    expect(detail).toMatchObject({ body: '{"n":1}', headers: { h: '1' }, failures: [{ message: 'no  luck' }] })
    await expect(letters.get('0')).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it('goes back to its old place when replayed, with those behind it following', async () => {
    const { broker, ids } = await aDeadLetter()
    const letters = createDeadLetters({ db: bench.as.operator })
    const [letter] = await letters.list()

    expect(await letters.replay([letter?.deadLetterId ?? ''])).toBe(1)

    await broker.received(4)
    expect(broker.accepted.map((message) => message.id)).toEqual(ids)
    expect(await bench.count('held_keys')).toBe(0)
  })

  it('is left behind when its key is released', async () => {
    const { broker, ids } = await aDeadLetter()
    const keys = createHeldKeys({ db: bench.as.operator })

    expect(await keys.list()).toMatchObject([{ topic: 'orders', orderingKey: 'a', waiting: 3 }])
    expect(await keys.release('orders', 'a')).toBe(true)

    await broker.received(3)
    expect(broker.accepted.map((message) => message.id)).toEqual(ids.slice(1))
    expect(await bench.count('dead_letters')).toBe(1)
    expect(await keys.release('orders', 'a')).toBe(false)
  })

  it('is gone for ever when discarded, and its key goes on', async () => {
    const { broker, ids } = await aDeadLetter()
    const letters = createDeadLetters({ db: bench.as.operator })
    const [letter] = await letters.list()

    expect(await letters.discard([letter?.deadLetterId ?? '', '999'])).toBe(1)

    await broker.received(3)
    expect(broker.accepted.map((message) => message.id)).toEqual(ids.slice(1))
    expect(await bench.count('dead_letters')).toBe(0)
  })

  it('is still held after another relay took over', async () => {
    const first = await aDeadLetter()
    await first.relay.stop()
    const second = bench.relay()
    second.relay.start()

    await bench.add(aMessage({ orderingKey: 'b' }))
    await second.broker.received(1)

    expect(second.broker.accepted.map((message) => message.orderingKey)).toEqual(['b'])
    await createHeldKeys({ db: bench.as.operator }).release('orders', 'a')
    await second.broker.received(4)
  })
})
