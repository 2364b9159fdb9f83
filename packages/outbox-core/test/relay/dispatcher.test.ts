import { describe, expect, it } from 'vitest'
import type { OutboxMessage } from '../../src/message.ts'
import type { PublishFailure, PublishResult } from '../../src/publisher.ts'
import type { BufferedMessage } from '../../src/relay/buffered-message.ts'
import { aBuffered } from './a-buffered.ts'
import { aDispatcher } from './a-dispatcher.ts'

const to = (topic: string, seq: number, stream: string | null = null): BufferedMessage => {
  const message = aBuffered(seq, stream === null ? null : `${topic} ${stream}`)
  return { ...message, message: { ...message.message, topic } }
}
const away: PublishFailure = { kind: 'unavailable', destination: 'queue a', code: 'AWAY', message: 'it is not there' }

describe('what was rejected', () => {
  it('and left with its lane is sent again when the lane comes back', async () => {
    const sent: string[] = []
    let isDown = true
    const { dispatcher, backlog, lanes, clock, arrive, turn } = aDispatcher((batch) => {
      if (isDown) return Promise.reject(new Error('down'))
      sent.push(...batch.map(({ id }) => id))
      return Promise.resolve(batch.map(({ id }) => ({ id, status: 'accepted' })))
    })
    arrive(aBuffered(1, 'a'))
    await turn() // Rejected: it waits for the broker.

    for (const lane of lanes.all()) lane.isLeaving = true
    backlog.leaveLane(0)
    expect(backlog.countOf(0)).toBe(0)
    lanes.remove(0)
    isDown = false
    lanes.add(0, 2)
    for (const lane of lanes.all()) lane.isReady = true
    arrive(aBuffered(1, 'a'))
    await clock.advance(1_000)
    dispatcher.pump()

    expect(sent).toEqual(['1'])
  })

  it.each([1, 2, 37, 64])(
    'while others pass is halved until message %i of 64 is alone and pays, and no other',
    async (culprit) => {
      const [paid, sent]: [number[], Set<string>] = [[], new Set()]
      const { arrive, clock, turn } = aDispatcher(
        (batch) => {
          if (batch.some(({ id }) => id === String(culprit))) return Promise.reject(new Error('no'))
          for (const { id } of batch) sent.add(id)
          return Promise.resolve(batch.map(({ id }): PublishResult => ({ id, status: 'accepted' })))
        },
        {
          settler: {
            published: () => {},
            retry: (retries) => void paid.push(...retries.map(({ message }) => message.seq)),
            bury: () => {},
          },
        },
      )
      arrive(...Array.from({ length: 64 }, (_, at) => aBuffered(at + 1)))
      for (let round = 0; round < 60 && paid.length === 0; round++) {
        await turn()
        await clock.advance(100)
        arrive(aBuffered(1_000 + round)) // Something else passes now and then.
      }

      expect(paid).toEqual([culprit])
      expect([...sent].filter((id) => Number(id) <= 64)).toHaveLength(63)
    },
  )

  it('never makes a message pay while nothing passes, however long that lasts', async () => {
    const paid: number[] = []
    const { arrive, clock, events } = aDispatcher(() => Promise.reject(new Error('down')), {
      settler: { published: () => {}, retry: (retries) => void paid.push(retries.length), bury: () => paid.push(-1) },
    })
    for (let round = 0; round < 200; round++) {
      arrive(aBuffered(round, `k${String(round % 5)}`))
      await clock.advance(100)
    }

    expect(paid).toEqual([])
    expect(events.filter(({ type }) => type === 'outage.started')).toHaveLength(1)
  })

  it('alone, while only messages of other topics pass, is its destination that does not answer', async () => {
    const paid: number[] = []
    const { arrive, clock, events, turn } = aDispatcher(
      (batch) =>
        batch.some(({ topic }) => topic === 'a')
          ? Promise.reject(new Error('no'))
          : Promise.resolve(batch.map(({ id }) => ({ id, status: 'accepted' }))),
      {
        settler: { published: () => {}, retry: (retries) => void paid.push(retries.length), bury: () => paid.push(-1) },
      },
    )
    arrive(to('a', 1))
    for (let seq = 2; seq < 20; seq++) {
      arrive(to('b', seq))
      await turn()
      await clock.advance(100)
    }

    expect(paid).toEqual([])
    expect(events).toContainEqual(expect.objectContaining({ type: 'outage.started', destination: 'topic "a"' }))
  })
})

describe('an unavailable destination', () => {
  const setup = () => {
    const world = { isAway: true, sent: [] as string[], paid: 0, woken: 0 }
    const settler = {
      published: () => {},
      retry: () => void world.paid++,
      bury: () => void world.paid++,
    }
    const test = aDispatcher(
      (batch) => {
        world.sent.push(batch.map(({ id }) => id).join(' '))
        return Promise.resolve(
          batch.map(({ id, topic }): PublishResult =>
            topic === 'a' && world.isAway ? { id, status: 'failed', failure: away } : { id, status: 'accepted' },
          ),
        )
      },
      { settler, onProgress: () => void world.woken++ },
    )
    return { ...test, world }
  }

  it('costs no attempt, leaves the memory, and lets others pass', async () => {
    const { arrive, backlog, world, events, turn } = setup()
    arrive(to('a', 1, 'k'), to('a', 2, 'k'), to('b', 3, 'k'), to('a', 4))
    await turn()
    arrive(to('a', 5, 'k'), to('b', 6, 'k'))
    await turn()

    expect(world).toMatchObject({ paid: 0, sent: ['1 2 3 4', '6'] })
    expect(backlog.exclusions.seqs()).toBe('{3,6}') // Accepted, and not deleted yet.
    expect(backlog.exclusions.suspendedTopics).toEqual(['a'])
    expect(events.filter(({ type }) => type === 'outage.started')).toMatchObject([{ destination: 'queue a' }])
  })

  it('is tried with a few messages at a time, and goes on when they get through', async () => {
    const { arrive, dispatcher, backlog, clock, world, events, turn } = setup()
    arrive(to('a', 1, 'k'))
    await turn()
    expect(dispatcher.startProbes()).toEqual([]) // Too early.
    world.woken = 0
    await clock.advance(100)
    expect(world.woken).toBe(1)
    for (const { destination } of dispatcher.startProbes()) dispatcher.probe(destination, [to('a', 1, 'k')])
    expect(dispatcher.startProbes()).toEqual([]) // One at a time.
    await turn()
    expect(backlog.exclusions.suspendedTopics).toEqual(['a'])

    world.isAway = false
    await clock.advance(100)
    for (const { destination } of dispatcher.startProbes()) dispatcher.probe(destination, [to('a', 1, 'k')])
    await turn()

    expect(world).toMatchObject({ paid: 0, sent: ['1', '1', '1'] })
    expect(backlog.exclusions.suspendedTopics).toEqual([])
    expect(dispatcher.openBreakers).toEqual([])
    expect(events.filter(({ type }) => type === 'outage.ended')).toMatchObject([{ destination: 'queue a', ms: 200 }])
  })

  it('with nothing waiting for it any more is forgotten', async () => {
    const { arrive, dispatcher, clock, turn } = setup()
    arrive(to('a', 1))
    await turn()
    await clock.advance(100)
    for (const { destination } of dispatcher.startProbes()) dispatcher.probe(destination, [])

    expect(dispatcher.openBreakers).toEqual([])
  })
})

describe('a publish that hangs', () => {
  it('gives up its place, its topic stands still, and at its timeout the destination is unavailable, not the broker', async () => {
    const sent: string[] = []
    const { arrive, backlog, clock, events, turn } = aDispatcher(
      (batch, signal) => {
        sent.push(batch.map(({ id }) => id).join(' '))
        if (batch.every(({ topic }) => topic !== 'a'))
          return Promise.resolve(batch.map(({ id }) => ({ id, status: 'accepted' })))
        return new Promise((resolve) => {
          const failure: PublishFailure = { kind: 'retryable', code: 'ABORTED', message: 'aborted' }
          signal.addEventListener('abort', () =>
            resolve(
              batch.map(({ id, topic }) =>
                topic === 'a' ? { id, status: 'failed', failure } : { id, status: 'accepted' },
              ),
            ),
          )
        })
      },
      {},
      { concurrency: 1, publishTimeoutMs: 10_000 },
    )
    arrive(to('a', 1), to('a', 2))
    await clock.advance(1_000)
    arrive(to('b', 3), to('a', 4))
    await turn()
    expect(sent).toEqual(['1 2', '3'])
    expect(backlog.exclusions.suspendedTopics).toEqual(['a'])

    await clock.advance(9_000)
    await turn()

    expect(events).toContainEqual(expect.objectContaining({ type: 'outage.started', destination: 'topic "a"' }))
    expect(events.filter((event) => event.type === 'outage.started' && event.destination === undefined)).toEqual([])
  })
})

describe('topics whose publish hung', () => {
  it('share batches with no other, until one of theirs ends in time', async () => {
    const sent: string[] = []
    const hanging: (() => void)[] = []
    let isSlow = true
    const { arrive, backlog, clock, turn } = aDispatcher(
      (batch) => {
        sent.push(batch.map(({ id }) => id).join(' '))
        const answer = batch.map(({ id }) => ({ id, status: 'accepted' as const }))
        if (!isSlow || batch.every(({ topic }) => topic !== 'a')) return Promise.resolve(answer)
        return new Promise((resolve) => hanging.push(() => resolve(answer)))
      },
      {},
      { concurrency: 2 },
    )
    arrive(to('a', 1), to('b', 2))
    await clock.advance(1_000)
    hanging.shift()?.()
    await turn()

    backlog.beginRead([0])
    arrive(to('a', 3), to('b', 4))
    await turn()
    expect(sent).toEqual(['1 2', '3', '4'])

    isSlow = false
    hanging.shift()?.()
    await turn()
    backlog.beginRead([0])
    arrive(to('a', 5), to('b', 6))
    await turn()
    expect(sent).toEqual(['1 2', '3', '4', '5 6'])
  })
})

describe('of several routes', () => {
  it('one takes no place of another', async () => {
    const sent: string[] = []
    const publish = (batch: readonly OutboxMessage[]): Promise<never> => {
      sent.push(batch.map(({ id }) => id).join(' '))
      return new Promise(() => {})
    }
    const publisher = { name: 'two', publish, routeOf: (name: string) => ({ name }), close: () => Promise.resolve() }
    const { arrive, turn } = aDispatcher(publish, {}, { publisher, concurrency: 1 })
    arrive(to('a', 1), to('b', 2))
    arrive(to('a', 3), to('b', 4))
    await turn()

    expect(sent).toEqual(['1', '2'])
  })

  it('one destination is tried at a time, and each in its turn', async () => {
    const { arrive, dispatcher, clock, turn } = aDispatcher((batch) =>
      Promise.resolve(
        batch.map(({ id, topic }) => ({ id, status: 'failed', failure: { ...away, destination: `queue ${topic}` } })),
      ),
    )
    arrive(to('a', 1), to('b', 2))
    await turn()
    await clock.advance(100)

    expect(dispatcher.startProbes()).toMatchObject([{ destination: 'queue a' }])
    expect(dispatcher.startProbes()).toMatchObject([{ destination: 'queue b' }])
    expect(dispatcher.startProbes()).toEqual([])
  })
})
