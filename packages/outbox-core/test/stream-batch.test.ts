import { describe, expect, it } from 'vitest'
import { createMessageProcessor, resolveConsumerOptions } from '../src/adapter/index.ts'
import type { MessageEnd, MessageInHand } from '../src/adapter/index.ts'
import {
  type ConsumerEvent,
  type ConsumerOptions,
  type ConsumerStore,
  type Delivery,
  inBatches,
  PermanentFailure,
  type StreamBatchesOptions,
  type StreamBatchFunction,
} from '../src/index.ts'
import { aMessageInHand, aReceivedMessage } from '../src/testing/index.ts'

type Log = string[]

/** A stream in an adapter's hands: its messages are processed in turn, as each adapter does it. */
function setup(
  run: (names: readonly string[], deliveries: readonly Delivery[]) => ReturnType<StreamBatchFunction>,
  options: Omit<StreamBatchesOptions, 'byStream'> & Partial<Omit<ConsumerOptions, 'handler'>> = {},
) {
  const log: Log = []
  const events: ConsumerEvent[] = []
  const { maxSize, maxBytes, ...others } = options
  const handler = inBatches(
    (deliveries) => {
      const names = deliveries.map(({ message }) => message.type)
      log.push(names.join(' '))
      return run(names, deliveries)
    },
    { byStream: true, ...(maxSize === undefined ? {} : { maxSize }), ...(maxBytes === undefined ? {} : { maxBytes }) },
  )
  const resolved = resolveConsumerOptions({
    handler,
    backoff: () => 0,
    onEvent: (event) => void events.push(event),
    ...others,
  })
  const processor = createMessageProcessor(resolved)
  const stream: MessageInHand[] = []

  function add(name: string, change: Partial<MessageInHand> & { key?: string; bytes?: number } = {}): void {
    const { key = 'hot', bytes = 2, ...more } = change
    const one = aMessageInHand({
      received: { message: aReceivedMessage({ type: name, orderingKey: key, body: new Uint8Array(bytes) }) },
      acknowledge: () => log.push(`ack ${name}`) > 0,
      retry: () => false,
      deadLetter: () => Promise.resolve(void log.push(`dead ${name}`)),
      behind: () => stream.slice(stream.indexOf(one) + 1),
      ...more,
    })
    stream.push(one)
  }

  async function processAll(): Promise<MessageEnd[]> {
    const ends: MessageEnd[] = []
    for (const one of stream) ends.push(await processor.process(one))
    return ends
  }

  return { add, processAll, log, events, stream }
}

const applied = (): Promise<void> => Promise.resolve()

describe('a handler that takes streams in batches', () => {
  it('gets what waits of the stream in one call, and all of it is acknowledged after it was applied', async () => {
    const { add, processAll, log } = setup(applied)
    for (const name of ['a', 'b', 'c']) add(name)

    expect(await processAll()).toEqual(['settled', 'settled', 'settled'])
    expect(log).toEqual(['a b c', 'ack a', 'ack b', 'ack c'])
  })

  it('gets no more than maxSize messages and maxBytes bytes together, and a larger message alone', async () => {
    const { add, processAll, log } = setup(applied, { maxSize: 2, maxBytes: 10 })
    for (const [name, bytes] of [['a', 2], ['b', 2], ['c', 20], ['d', 6], ['e', 6]] as const) add(name, { bytes }) // prettier-ignore

    await processAll()

    expect(log.filter((line) => !line.startsWith('ack'))).toEqual(['a b', 'c', 'd', 'e'])
  })

  it('never gets another stream in the same call, nor what lies behind it', async () => {
    const { add, processAll, log } = setup(applied)
    for (const [name, key] of [['a', 'x'], ['b', 'x'], ['c', 'y'], ['d', 'x']] as const) add(name, { key }) // prettier-ignore

    await processAll()

    expect(log.filter((line) => !line.startsWith('ack'))).toEqual(['a b', 'c', 'd'])
  })

  it('is called for one message at a time after a batch failed, in order, and only the bad one pays', async () => {
    const { add, processAll, log, events } = setup(
      (names) => (names.includes('b') ? Promise.reject(new PermanentFailure('b')) : applied()),
      { maxAttempts: 1 },
    )
    for (const name of ['a', 'b', 'c']) add(name)

    expect(await processAll()).toEqual(['settled', 'settled', 'settled'])
    expect(log).toEqual(['a b c', 'a', 'ack a', 'b', 'dead b', 'ack b', 'c', 'ack c'])
    expect(events.map(({ type }) => type)).toEqual(['batch.failed', 'message.handled', 'message.dead-lettered', 'message.handled']) // prettier-ignore
  })

  it('is believed up to its first rejected outcome: what it applied behind that comes again', async () => {
    const outcome = (name: string): PromiseSettledResult<void> =>
      name === 'b' ? { status: 'rejected', reason: new Error('b') } : { status: 'fulfilled', value: undefined }
    const { add, processAll, log } = setup((names) => Promise.resolve(names.map(outcome)), { maxAttempts: 1 })
    for (const name of ['a', 'b', 'c', 'd']) add(name)

    await processAll()

    expect(log).toEqual(['a b c d', 'ack a', 'b', 'dead b', 'ack b', 'c d', 'ack c', 'ack d'])
  })

  it('has applied nothing when its outcomes are not one for each message', async () => {
    const { add, processAll, log } = setup((names) =>
      Promise.resolve(names.slice(0, 1).map(() => ({ status: 'fulfilled' as const, value: undefined }))),
    )
    for (const name of ['a', 'b']) add(name)

    await processAll()

    expect(log).toEqual(['a b', 'a', 'ack a', 'b', 'ack b'])
  })

  it('is given what failed before alone', async () => {
    const { add, processAll, log } = setup(applied)
    add('a', { attempt: 2 })
    for (const name of ['b', 'c']) add(name)
    add('d', { attempt: 2 })
    add('e')

    await processAll()

    expect(log.filter((line) => !line.startsWith('ack'))).toEqual(['a', 'b c', 'd', 'e'])
  })

  it('is given alone what may have ended a process, where a store counts that', async () => {
    const nothing = { calls: 0, unended: 0, isHeld: false }
    const store = {
      look: () => Promise.resolve(nothing),
      begin: () => Promise.resolve(),
      ended: () => Promise.resolve(),
      forget: () => Promise.resolve(),
    } as unknown as ConsumerStore
    const { add, processAll, log } = setup(applied, { store })
    add('a', { isRedelivered: true })
    add('b', { isRedelivered: true })
    for (const name of ['c', 'd']) add(name)

    await processAll()

    expect(log.filter((line) => !line.startsWith('ack'))).toEqual(['a', 'b', 'c d'])
  })

  it('stops what follows a message that went to another consumer in a batch that failed', async () => {
    const losing = new AbortController()
    const { add, processAll, log } = setup((names) => {
      if (!losing.signal.aborted) losing.abort(new Error('lost'))
      return names.length > 1 ? Promise.reject(new Error('no')) : applied()
    })
    add('a')
    add('b', { lost: losing.signal })
    add('c')

    expect(await processAll()).toEqual(['settled', 'left', 'left'])
    expect(log).toEqual(['a b c', 'a', 'ack a'])
  })

  it('acknowledges nothing once the grace period of a stop is over', async () => {
    const over = new AbortController()
    const { add, processAll, log } = setup(() => Promise.resolve(over.abort(new Error('over'))))
    for (const name of ['a', 'b']) add(name, { graceOver: over.signal })

    expect(await processAll()).toEqual(['left', 'left'])
    expect(log).toEqual(['a b'])
  })

  it('takes one message wherever any other handler does', async () => {
    const handler = inBatches(() => Promise.reject(new Error('no')), { byStream: true })

    await expect(handler({ message: aReceivedMessage(), attempt: 1, signal: new AbortController().signal })).rejects.toThrow('no') // prettier-ignore
  })
})
