import { describe, expect, it } from 'vitest'
import {
  createMessageProcessor,
  type DeadLetter,
  DeadLetterTooLargeError,
  encodeDeadLetterNote,
  maxNoteBytes,
  receivedOf,
  resolveConsumerOptions,
} from '../src/adapter/index.ts'
import { failureOf } from '../src/adapter/failure-of.ts'
import {
  type ConsumerEvent,
  type ConsumerOptions,
  HandlerOutageError,
  isOutage,
  OutboxError,
  PermanentFailure,
  readDeadLetterNote,
  UnknownTypeError,
} from '../src/index.ts'
import { aMessageInHand, createManualClock, type ManualClock } from '../src/testing/index.ts'

const limits = { maxAttempts: 3, backoff: (attempt: number) => attempt * 100, unknownTypeRetryMs: 5_000, isOutage }

function setup(options: Partial<ConsumerOptions>) {
  const clock = createManualClock()
  const events: ConsumerEvent[] = []
  const resolved = resolveConsumerOptions({
    handler: () => Promise.resolve(),
    onEvent: (event) => void events.push(event),
    ...options,
  })
  return { clock, events, processor: createMessageProcessor(resolved, clock) }
}

/** Time passes, and whoever waits for it has a turn after each step. */
async function pass(clock: ManualClock, steps: number, stepMs: number): Promise<void> {
  for (let step = 0; step < steps; step++) {
    await new Promise((resolve) => setImmediate(resolve))
    await clock.advance(stepMs)
  }
}

const failing = (error: unknown) => async () => {
  throw error
}

describe('what a failure says', () => {
  it.each([
    [
      'an error before the last attempt comes again after the backoff',
      new Error('x'),
      2,
      { kind: 'retryable', inMs: 200 },
    ],
    ['an error on the last attempt is a dead letter', new Error('x'), 3, { kind: 'dead', reason: 'MAX_ATTEMPTS' }],
    [
      'a permanent failure is a dead letter at once',
      new PermanentFailure('x'),
      1,
      { kind: 'dead', reason: 'PERMANENT' },
    ],
    [
      'an undecodable body is a dead letter at once',
      new OutboxError('UNDECODABLE_MESSAGE', 'x'),
      1,
      { kind: 'dead', reason: 'UNDECODABLE' },
    ],
    [
      'an unknown type never runs out of attempts',
      new UnknownTypeError('x'),
      99,
      { kind: 'unknown-type', inMs: 5_000 },
    ],
    [
      'what the inbox did not try never runs out of attempts, and comes again soon',
      Object.assign(new Error('x'), { code: 'PREDECESSOR_FAILED' }),
      99,
      { kind: 'not-tried', inMs: limits.backoff(1) },
    ],
    ['an outage never runs out of attempts', new HandlerOutageError('x'), 99, { kind: 'outage' }],
    [
      'what the handler calls permanent is, whatever the cause',
      new PermanentFailure('x', { cause: new HandlerOutageError('y') }),
      1,
      { kind: 'dead', reason: 'PERMANENT' },
    ],
  ] as const)('%s', (_, error, attempt, verdict) => {
    expect(failureOf(error, attempt, limits)).toEqual(verdict)
  })
})

describe('a message in hand', () => {
  it('is reported as handled only after the broker took the acknowledgement', async () => {
    const { processor, events } = setup({})
    const gate = Promise.withResolvers<boolean>()

    const refused = await processor.process(aMessageInHand({ acknowledge: () => false }))
    const taken = processor.process(aMessageInHand({ acknowledge: () => gate.promise }))
    expect([refused, events]).toEqual(['left', []])
    gate.resolve(true)

    expect(await taken).toBe('settled')
    expect(events).toMatchObject([{ type: 'message.handled' }])
  })

  it('is reported as dead only after the broker took the letter, and the letter keeps its id over all tries', async () => {
    const { processor, events, clock } = setup({ handler: failing(new PermanentFailure('no')) })
    const letters: DeadLetter[] = []
    const deadLetter = async (letter: DeadLetter): Promise<void> => {
      letters.push(letter)
      if (letters.length < 3) throw new Error('the queue is away')
    }

    const end = processor.process(aMessageInHand({ deadLetter }))
    await pass(clock, 10, 1_000)

    expect(await end).toBe('settled')
    expect(events.map(({ type }) => type)).toEqual([
      'message.dead-letter-failed',
      'message.dead-letter-failed',
      'message.dead-lettered',
    ])
    expect(new Set(letters.map(({ id }) => id)).size).toBe(1)
  })

  it('whose letter finds no place is kept by the broker where it can, and comes back for its letter alone', async () => {
    const calls: string[] = []
    const handler = async ({ message }: { readonly message: { readonly id: string } }): Promise<void> => {
      calls.push(message.id)
      throw new PermanentFailure('no')
    }
    const { processor, events } = setup({ handler })
    const deferred: DeadLetter[] = []
    const away = { deadLetter: () => Promise.reject(new Error('the queue is away')) }
    const defer = async (letter: DeadLetter): Promise<number> => deferred.push(letter) * 1_000

    expect(await processor.process(aMessageInHand({ ...away, defer }))).toBe('retried')
    const [letter] = deferred as [DeadLetter]
    expect(await processor.process(aMessageInHand({ letter }))).toBe('settled')

    expect(calls).toHaveLength(1)
    expect(events).toMatchObject([
      { type: 'message.dead-letter-failed', retryInMs: 1_000 },
      { type: 'message.dead-lettered', reason: 'PERMANENT', attempt: 1 },
    ])
  })

  it('whose letter does not fit loses the note, then the headers, at last the body, and never blocks', async () => {
    const { processor } = setup({ handler: failing(new PermanentFailure('no')) })
    const letters: DeadLetter[] = []
    const deadLetter = async (letter: DeadLetter): Promise<void> => {
      letters.push(letter)
      if (letter.form !== 'stub') throw new DeadLetterTooLargeError('too large')
    }

    expect(await processor.process(aMessageInHand({ position: '3:17', deadLetter }))).toBe('settled')
    expect(letters.map(({ form }) => form)).toEqual(['whole', 'bare', 'headless', 'stub'])
    expect(letters.at(-1)?.note).toMatchObject({ position: '3:17', omitted: ['headers', 'body'] })
  })

  it('that is dead is acknowledged only after the broker has the letter', async () => {
    const { processor } = setup({ handler: failing(new PermanentFailure('no')) })
    const told: string[] = []

    await processor.process(
      aMessageInHand({
        deadLetter: () => Promise.resolve(void told.push('dead letter')),
        acknowledge: () => told.push('acknowledgement') > 0,
      }),
    )

    expect(told).toEqual(['dead letter', 'acknowledgement'])
  })

  it.each([
    ['whose type nobody knows yet', new UnknownTypeError('order.split')],
    ['that was not tried', Object.assign(new Error('behind a failed one'), { code: 'PREDECESSOR_FAILED' })],
  ])('%s has paid nothing when the broker takes it back', async (_, error) => {
    const { processor } = setup({ handler: failing(error) })
    const spent: number[] = []

    await processor.process(aMessageInHand({ attempt: 3, retry: (_, paid) => spent.push(paid) > 0 }))

    expect(spent).toEqual([2])
  })

  it('whose handler was stopped has paid nothing when the broker takes it back', async () => {
    const graceOver = new AbortController()
    const { processor } = setup({
      handler: () => {
        // The grace is over, and the consumer has not left the message yet.
        graceOver.signal.dispatchEvent(new Event('abort'))
        return Promise.reject(new Error('stopped in the middle'))
      },
    })
    const spent: number[] = []

    await processor.process(
      aMessageInHand({ attempt: 3, graceOver: graceOver.signal, retry: (_, paid) => spent.push(paid) > 0 }),
    )

    expect(spent).toEqual([2])
  })

  it('that cannot be decoded becomes a dead letter and no handler is called', async () => {
    const { processor, events } = setup({ handler: failing(new Error('must not be called')) })
    const received = receivedOf(() => {
      throw new Error('what is this?')
    })

    expect(await processor.process(aMessageInHand({ received }))).toBe('settled')
    expect(events).toMatchObject([{ type: 'message.dead-lettered', id: null, reason: 'UNDECODABLE' }])
  })

  it('waits in place for an outage to end, at the same attempt, and asks the broker for no other delivery', async () => {
    const attempts: number[] = []
    const { processor, clock } = setup({
      maxAttempts: 1,
      handler: async ({ attempt }) => {
        attempts.push(attempt)
        if (attempts.length < 8) throw new HandlerOutageError('the database is away')
      },
    })
    const retry = (): never => {
      throw new Error('the broker would count this delivery')
    }

    const end = processor.process(aMessageInHand({ retry }))
    await pass(clock, 20, 5_000)

    expect(await end).toBe('settled')
    expect(attempts).toEqual([1, 1, 1, 1, 1, 1, 1, 1])
  })

  it.each([
    ['everything needs', {}],
    ['only some messages need, so that the consumer does not pause', { pauseAfterOutages: 1_000_000 }],
  ])('is handled within a second of the mend after ten minutes without what %s', async (_, options) => {
    const types = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
    let isAway = true
    const handled: string[] = []
    const { processor, clock, events } = setup({
      ...options,
      maxAttempts: 1,
      handler: async ({ message }) => {
        if (isAway) throw new HandlerOutageError('the database is away')
        handled.push(message.type)
      },
    })
    const deliver = (type: string): Promise<string> =>
      processor.process(aMessageInHand({ received: { message: { ...aMessageInHand().received.message!, type } } }))

    const ends = types.map(deliver)
    await pass(clock, 600, 1_000)
    isAway = false
    await pass(clock, 50, 20)

    expect(await Promise.all(ends)).toEqual(types.map(() => 'settled'))
    expect(handled.toSorted()).toEqual(types)
    expect(events.filter(({ type }) => type === 'message.dead-lettered')).toEqual([])
  })

  it('that the broker does not take back waits here and comes again with the next attempt', async () => {
    const attempts: number[] = []
    const { processor, clock } = setup({
      handler: async ({ attempt }) => {
        attempts.push(attempt)
        if (attempt < 3) throw new Error('not yet')
      },
    })

    const end = processor.process(aMessageInHand({ retry: () => false }))
    await pass(clock, 5, 300_000)

    expect(await end).toBe('settled')
    expect(attempts).toEqual([1, 2, 3])
  })

  it('that is lost tells the handler, and nothing is told to the broker', async () => {
    const losing = new AbortController()
    const { processor, events } = setup({
      handler: ({ signal }) => {
        losing.abort(new Error('the session is over'))
        return signal.aborted ? Promise.resolve() : Promise.reject(new Error('the handler was not told'))
      },
    })
    const acknowledge = (): never => {
      throw new Error('the broker was told')
    }

    expect(await processor.process(aMessageInHand({ lost: losing.signal, acknowledge }))).toBe('left')
    expect(events).toMatchObject([{ type: 'message.hold-lost' }])
  })

  it('is left where it is when the consumer stops while handlers are paused', async () => {
    const ending = new AbortController()
    const { processor } = setup({ handler: failing(new HandlerOutageError('away')), pauseAfterOutages: 1 })

    const end = processor.process(aMessageInHand({ ending: ending.signal }))
    await expect.poll(() => processor.isPaused).toBe(true)
    ending.abort()

    expect(await end).toBe('left')
  })
})

describe('options of a consumer', () => {
  it('goes on when the observer throws', async () => {
    const { processor } = setup({
      onEvent: () => {
        throw new Error('observer')
      },
    })

    expect(await processor.process(aMessageInHand())).toBe('settled')
  })

  it('comes again by the default backoff when its own fails', async () => {
    for (const backoff of [() => Number.NaN, () => -1, () => JSON.parse('{') as number]) {
      const { processor } = setup({ handler: failing(new Error('x')), backoff })
      const pauses: number[] = []

      await processor.process(aMessageInHand({ retry: (inMs) => pauses.push(inMs) > 0 }))

      expect(pauses).toEqual([expect.any(Number)])
    }
  })

  it('asks the default when its own judgement of outages throws', () => {
    const judge = (): never => {
      throw new Error('a mistake')
    }

    const resolved = resolveConsumerOptions({ handler: () => Promise.resolve(), isOutage: judge })

    expect(resolved.isOutage(new HandlerOutageError('x'))).toBe(true)
  })

  it.each([
    { concurrency: 0 },
    { concurrency: 1.5 },
    { maxAttempts: 0 },
    { pauseAfterOutages: 0 },
    { pauseAfterFailures: 1 },
  ])('refuses %o', (change) => {
    expect(() => resolveConsumerOptions({ handler: () => Promise.resolve(), ...change })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    )
  })
})

it.each(['x'.repeat(5_000), '😀'.repeat(400), '\u0000'.repeat(400)])(
  'a note fits into the room kept for it, whatever the error says, and can be read again (%#)',
  (error) => {
    const note = {
      reason: 'PERMANENT',
      attempts: 5,
      error,
      source: 's'.repeat(80),
      topic: 't'.repeat(100),
      at: '',
    } as const

    const json = encodeDeadLetterNote(note)

    expect(Buffer.byteLength(json)).toBeLessThanOrEqual(maxNoteBytes)
    expect(readDeadLetterNote({ 'malote-dead-letter': json })).toMatchObject({ reason: 'PERMANENT', attempts: 5 })
  },
)
