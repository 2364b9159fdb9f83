import { describe, expect, it } from 'vitest'
import { deliver, outcomeOf, resolveConsumerOptions } from '../src/adapter/index.ts'
import {
  type ConsumerEvent,
  OutboxError,
  PermanentFailure,
  type ReceivedMessage,
  UnknownTypeError,
} from '../src/index.ts'

const limits = { maxAttempts: 3, backoff: (attempt: number) => attempt * 100, unknownTypeRetryMs: 5_000 }
const message: ReceivedMessage = {
  id: '00000000-0000-7000-8000-000000000001',
  topic: 'orders',
  type: 'order.accepted',
  orderingKey: null,
  headers: {},
  body: new Uint8Array(),
  contentType: 'application/json',
  createdAt: new Date(0),
  json: () => ({}),
}

describe('the outcome of a failed delivery', () => {
  it.each([
    [
      'an error before the last attempt comes again after the backoff',
      new Error('x'),
      2,
      { action: 'retry', inMs: 200, spendsAttempt: true },
    ],
    [
      'an error on the last attempt is a dead letter',
      new Error('x'),
      3,
      { action: 'dead-letter', reason: 'MAX_ATTEMPTS' },
    ],
    [
      'a permanent failure is a dead letter at once',
      new PermanentFailure('x'),
      1,
      { action: 'dead-letter', reason: 'PERMANENT' },
    ],
    [
      'an undecodable body is a dead letter at once',
      new OutboxError('UNDECODABLE_MESSAGE', 'x'),
      1,
      { action: 'dead-letter', reason: 'UNDECODABLE' },
    ],
    [
      'an unknown type never runs out of attempts',
      new UnknownTypeError('x'),
      99,
      { action: 'retry', spendsAttempt: false },
    ],
  ] as const)('%s', (_, error, attempt, outcome) => {
    expect(outcomeOf(error, attempt, limits)).toMatchObject({ ...outcome, error })
  })
})

describe('a delivery', () => {
  it('reports what happened and never rejects', async () => {
    const events: ConsumerEvent[] = []
    const failing = resolveConsumerOptions({
      handler: () => Promise.reject(new Error('x')),
      onEvent: (event) => void events.push(event),
      ...limits,
    })
    const working = resolveConsumerOptions({
      handler: () => Promise.resolve(),
      onEvent: (event) => void events.push(event),
    })
    const delivery = { message, attempt: 1, signal: new AbortController().signal }

    const outcomes = [await deliver(failing, delivery), await deliver(working, delivery)]

    expect(outcomes.map((outcome) => outcome.action)).toEqual(['retry', 'acknowledge'])
    expect(events.map((event) => event.type)).toEqual(['message.failed', 'message.handled'])
  })

  it('goes on when the observer throws', async () => {
    const options = resolveConsumerOptions({
      handler: () => Promise.resolve(),
      onEvent: () => {
        throw new Error('observer')
      },
    })

    expect(await deliver(options, { message, attempt: 1, signal: new AbortController().signal })).toEqual({
      action: 'acknowledge',
    })
  })

  it('comes again by the default backoff when its own fails', async () => {
    for (const backoff of [() => Number.NaN, () => -1, () => JSON.parse('{') as number]) {
      const options = resolveConsumerOptions({ handler: () => Promise.reject(new Error('x')), backoff })

      const outcome = await deliver(options, { message, attempt: 1, signal: new AbortController().signal })

      expect(outcome).toMatchObject({ action: 'retry', spendsAttempt: true, inMs: expect.any(Number) })
    }
  })

  it.each([{ concurrency: 0 }, { concurrency: 1.5 }, { maxAttempts: 0 }])('refuses %o', (change) => {
    expect(() => resolveConsumerOptions({ handler: () => Promise.resolve(), ...change })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    )
  })
})
