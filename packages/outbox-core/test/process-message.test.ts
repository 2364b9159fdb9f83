import { describe, expect, it } from 'vitest'
import { type DeadLetter, DeadLetterTooLargeError, receivedOf } from '../src/adapter/index.ts'
import { HandlerOutageError, PermanentFailure, UnknownTypeError } from '../src/index.ts'
import { aMessageInHand, type ManualClock } from '../src/testing/index.ts'
import { aProcessor, failing } from './a-processor.ts'

/** Time passes, and whoever waits for it has a turn after each step. */
async function pass(clock: ManualClock, steps: number, stepMs: number): Promise<void> {
  for (let step = 0; step < steps; step++) {
    await new Promise((resolve) => setImmediate(resolve))
    await clock.advance(stepMs)
  }
}

describe('a message in hand', () => {
  it('is reported as handled only after the broker took the acknowledgement', async () => {
    const { processor, events } = aProcessor({})
    const gate = Promise.withResolvers<boolean>()

    const refused = await processor.process(aMessageInHand({ acknowledge: () => false }))
    const taken = processor.process(aMessageInHand({ acknowledge: () => gate.promise }))
    expect([refused, events]).toEqual(['left', []])
    gate.resolve(true)

    expect(await taken).toBe('settled')
    expect(events).toMatchObject([{ type: 'message.handled' }])
  })

  it('is reported as dead only after the broker took the letter, and the letter keeps its id over all tries', async () => {
    const { processor, events, clock } = aProcessor({ handler: failing(new PermanentFailure('no')) })
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
    const { processor, events } = aProcessor({ handler })
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
    const { processor } = aProcessor({ handler: failing(new PermanentFailure('no')) })
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
    const { processor } = aProcessor({ handler: failing(new PermanentFailure('no')) })
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
    const { processor } = aProcessor({ handler: failing(error) })
    const spent: number[] = []

    await processor.process(aMessageInHand({ attempt: 3, retry: (_, paid) => spent.push(paid) > 0 }))

    expect(spent).toEqual([2])
  })

  it('whose handler was stopped has paid nothing when the broker takes it back', async () => {
    const graceOver = new AbortController()
    const { processor } = aProcessor({
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
    const { processor, events } = aProcessor({ handler: failing(new Error('must not be called')) })
    const received = receivedOf(() => {
      throw new Error('what is this?')
    })

    expect(await processor.process(aMessageInHand({ received }))).toBe('settled')
    expect(events).toMatchObject([{ type: 'message.dead-lettered', id: null, reason: 'UNDECODABLE' }])
  })

  it('waits in place for an outage to end, at the same attempt, and asks the broker for no other delivery', async () => {
    const attempts: number[] = []
    const { processor, clock } = aProcessor({
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
    const { processor, clock, events } = aProcessor({
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
    const { processor, clock } = aProcessor({
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
    const { processor, events } = aProcessor({
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
    const { processor } = aProcessor({ handler: failing(new HandlerOutageError('away')), pauseAfterOutages: 1 })

    const end = processor.process(aMessageInHand({ ending: ending.signal }))
    await expect.poll(() => processor.isPaused).toBe(true)
    ending.abort()

    expect(await end).toBe('left')
  })
})
