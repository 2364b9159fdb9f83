import { type ConsumerEvent, type DeliveryHandler, inBatches } from '@malote/outbox-core'
import { createMessageProcessor, type MessageInHand, type Received } from '@malote/outbox-core/adapter'
import { anOutboxMessage } from '@malote/outbox-core/testing'
import { describe, expect, it } from 'vitest'
import { decodeMessage } from '../src/decode.ts'
import { encodeMessage } from '../src/encode.ts'
import { resolveSqsConsumerOptions } from '../src/options.ts'
import { createMessageHandler } from '../src/handle-message.ts'
import type { Hold, Holds } from '../src/visibility.ts'

const never = new AbortController().signal

const nothing = (): never => {
  throw new Error('SQS is not asked in these tests')
}

function setup(handler: DeliveryHandler, queue = 'https://sqs.test/1/orders.fifo') {
  const givenBack: { readonly keys: readonly string[]; readonly inMs: number }[] = []
  const events: ConsumerEvent[] = []
  const holds: Holds = {
    all: [],
    open: nothing,
    take: nothing,
    drop: nothing,
    has: () => true,
    close: nothing,
    giveBack: async (holds, inMs) => void givenBack.push({ keys: holds.map((hold) => hold.raw.MessageId ?? ''), inMs }),
  }
  const settings = resolveSqsConsumerOptions({
    client: { send: nothing },
    queueUrl: queue,
    deadLetterQueueUrl: 'https://sqs.test/1/dead',
    handler,
    backoff: () => 700,
    onEvent: (event) => void events.push(event),
  })
  const waiting = new Set<Hold>()
  const messageHandler = createMessageHandler({
    settings,
    processor: createMessageProcessor(settings),
    holds,
    waiting,
    setAside: () => {},
    ending: never,
    graceOver: never,
  })
  return {
    messageHandler,
    handle: ({ hold, received }: Held) =>
      messageHandler.handle(
        hold,
        messageHandler.take(hold, received, () => []),
      ),
    waiting,
    givenBack,
    events,
  }
}

interface Held {
  readonly hold: Hold
  readonly received: Received
}

function aHold(name: string, key: string, receiveCount = 1): Held {
  const { body, attributes } = encodeMessage(anOutboxMessage({ orderingKey: key }), '/test')
  const raw = {
    MessageId: name,
    Body: body,
    MessageAttributes: attributes,
    Attributes: { ApproximateReceiveCount: String(receiveCount) },
  }
  const message = decodeMessage(raw, 'orders')
  const { signal } = new AbortController()
  return { hold: { raw, id: message.id, key, signal, isOver: false }, received: { message } }
}

describe('when AWS handed over several messages of a group and the first fails', () => {
  it('it goes back first, with its backoff, and then those behind it; other groups stay', async () => {
    const { handle, waiting, givenBack } = setup(() => Promise.reject(new Error('no')))
    const first = aHold('first', 'a')
    const others = [aHold('second', 'a'), aHold('other', 'b'), aHold('third', 'a')]
    for (const { hold } of others) waiting.add(hold)

    await handle(first)

    expect(givenBack).toEqual([
      { keys: ['first'], inMs: 700 },
      { keys: ['second', 'third'], inMs: 0 },
    ])
    expect([...waiting].map((hold) => hold.raw.MessageId)).toEqual(['other'])
  })

  it('those behind it spent no attempt', async () => {
    const attempts: (number | undefined)[] = []
    const { handle, waiting, events } = setup(() => Promise.reject(new Error('no')))
    const first = aHold('first', 'a')
    waiting.add(aHold('second', 'a').hold)

    await handle(first)
    const again = aHold('second', 'a', 2)
    await handle(again)

    for (const event of events) attempts.push('attempt' in event ? event.attempt : undefined)
    expect(attempts).toEqual([1, 1])
  })

  it('on a standard queue nothing waits for it', async () => {
    const { handle, waiting, givenBack } = setup(() => Promise.reject(new Error('no')), 'https://sqs.test/1/orders')
    const first = aHold('first', 'a')
    waiting.add(aHold('second', 'a').hold)

    await handle(first)

    expect(givenBack).toEqual([
      { keys: ['first'], inMs: 700 },
      { keys: [], inMs: 0 },
    ])
    expect(waiting.size).toBe(1)
  })
})

it('a hold that was lost closes its group: those behind it go back unhandled', async () => {
  const { messageHandler, waiting, givenBack } = setup(() => Promise.resolve())
  const { hold } = aHold('first', 'a')
  waiting.add(aHold('second', 'a').hold)

  messageHandler.lost(hold)

  expect(givenBack).toEqual([{ keys: ['second'], inMs: 0 }])
})

describe('a handler that takes streams in batches, when AWS handed over several messages of a group', () => {
  function setupGroup(run: (ids: readonly string[]) => void) {
    const all = ['first', 'second', 'third'].map((name) => aHold(name, 'a'))
    const names = new Map(all.map(({ hold }) => [hold.id, hold.raw.MessageId ?? '']))
    const calls: { readonly names: readonly string[]; readonly waiting: readonly string[] }[] = []
    const handler = inBatches(
      async (deliveries) => {
        const ids = deliveries.map(({ message }) => names.get(message.id) ?? '')
        calls.push({ names: ids, waiting: [...waiting].map(({ raw }) => raw.MessageId ?? '') })
        run(ids)
      },
      { byStream: true },
    )
    const { messageHandler, waiting, givenBack } = setup(handler)
    const inHands: MessageInHand[] = all.map(({ hold, received }) =>
      messageHandler.take(hold, received, () => inHands.slice(1)),
    )
    const [first, ...behind] = all
    for (const { hold } of behind) waiting.add(hold)
    const handleFirst = (): Promise<void> => messageHandler.handle(first!.hold, inHands[0]!)
    return { handleFirst, waiting, givenBack, calls }
  }

  it('none that is with the handler can be given back meanwhile, and what failed goes back first, then those behind it', async () => {
    const { handleFirst, waiting, givenBack, calls } = setupGroup(() => {
      throw new Error('no')
    })

    await handleFirst()

    expect(calls).toEqual([
      { names: ['first', 'second', 'third'], waiting: [] },
      { names: ['first'], waiting: ['second', 'third'] },
    ])
    expect(givenBack).toEqual([
      { keys: ['first'], inMs: 700 },
      { keys: ['second', 'third'], inMs: 0 },
    ])
    expect(waiting.size).toBe(0)
  })
})
