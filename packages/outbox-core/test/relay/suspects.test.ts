import { describe, expect, it } from 'vitest'
import type { PublishResult } from '../../src/publisher.ts'
import type { BufferedMessage } from '../../src/relay/buffered-message.ts'
import { Schedule } from '../../src/relay/schedule.ts'
import type { Burial } from '../../src/relay/settle.ts'
import { aBuffered, seqsOf } from './a-buffered.ts'
import { aDispatcher, type TestDispatcher } from './a-dispatcher.ts'

const suspect = (seq: number, stream: string | null = null, maxTogether = 1): BufferedMessage =>
  aBuffered(seq, stream, { maxTogether })

function scheduleOf(...messages: BufferedMessage[]): Schedule {
  const schedule = new Schedule()
  for (const message of messages) schedule.add(message)
  return schedule
}

describe('a suspect in the schedule', () => {
  it('is a batch of its own, and the messages around it keep their stream', () => {
    const schedule = scheduleOf(
      aBuffered(1, 'a'),
      suspect(2, 'a'),
      suspect(3, 'a'),
      aBuffered(4, 'a'),
      aBuffered(5, 'a'),
    )
    const batches: number[][] = []
    for (let batch = schedule.take(10); batch.length > 0; batch = schedule.take(10)) {
      batches.push(seqsOf(batch))
      schedule.release(batch)
    }

    expect(batches).toEqual([[1], [2], [3], [4, 5]])
  })

  it('takes turns with the others, so that neither starves', () => {
    const schedule = scheduleOf(suspect(1), suspect(2), aBuffered(3), aBuffered(4), suspect(5, 'a'), aBuffered(6))

    expect([1, 2, 3, 4, 5].map(() => seqsOf(schedule.take(2)))).toEqual([[1], [3, 4], [2], [6], [5]])
    expect(schedule.length).toBe(0)
  })

  it('shares a batch with other suspects, as many as each of them allows, and with nobody else', () => {
    const schedule = scheduleOf(
      suspect(1, null, 3),
      suspect(2, 'a', 3),
      suspect(3, 'a', 3),
      suspect(4, 'a', 3),
      suspect(5, 'b', 1),
      suspect(6, 'b', 9),
      aBuffered(7, 'b'),
    )
    const batches: number[][] = []
    for (let batch = schedule.take(10); batch.length > 0; batch = schedule.take(10)) {
      batches.push(seqsOf(batch))
      schedule.release(batch)
    }

    expect(batches.filter((batch) => batch.length > 1)).toEqual([
      [1, 2, 3],
      [4, 6],
    ])
    expect(batches.flat().toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7])
    expect(batches.at(-1)).toEqual([7])
  })

  it('leaves with its lane', () => {
    const schedule = scheduleOf(suspect(1), suspect(2, 'a'), aBuffered(3, 'a'))

    expect(seqsOf(schedule.dropLane(0))).toEqual([1, 2, 3])
    expect(schedule.take(10)).toEqual([])
  })
})

/** A dispatcher whose publisher answers when the test says so, with a log of what happened. */
function setup(...messages: BufferedMessage[]): {
  readonly log: string[]
  readonly burials: Burial[]
  readonly answer: () => Promise<void>
  readonly arrive: TestDispatcher['arrive']
} {
  const [log, burials, answers]: [string[], Burial[], (() => void)[]] = [[], [], []]
  const settler = { published: () => {}, retry: () => {}, bury: (buried: readonly Burial[]) => burials.push(...buried) }
  const trial = {
    begin: (named: readonly BufferedMessage[]) => Promise.resolve(log.push(`begin ${seqsOf(named).join(' ')}`) > 0),
    end: () => Promise.resolve(void log.push('end')),
  }
  const { arrive, turn } = aDispatcher(
    (batch) => {
      log.push(`publish ${batch.map(({ id }) => id).join(' ')}`)
      return new Promise((resolve) => {
        answers.push(() => resolve(batch.map(({ id }): PublishResult => ({ id, status: 'accepted' }))))
      })
    },
    { settler, trial },
    { maxAttempts: 3, concurrency: 4 },
  )
  arrive(...messages)
  const answer = async (): Promise<void> => {
    answers.shift()?.()
    await turn()
  }
  return { log, burials, answer, arrive }
}

describe('a suspect in the dispatcher', () => {
  it('is named before it is published, and nothing else is in flight until it is settled', async () => {
    const { log, answer, arrive } = setup(aBuffered(1))
    arrive(suspect(2), suspect(3), aBuffered(4))
    const beforeItsAnswer = [...log]
    for (let answers = 0; answers < 4; answers++) await answer()

    expect(beforeItsAnswer).toEqual(['publish 1'])
    const trialOf = (seq: number): string[] => [`begin ${String(seq)}`, `publish ${String(seq)}`, 'end']
    expect(log.slice(1)).toEqual([...trialOf(2), 'publish 4', ...trialOf(3)])
  })

  it('that paid all its attempts with the deaths of relays is buried as poison and not published', () => {
    const poison = aBuffered(1, 'a', { maxTogether: 1, diedAlone: true })
    const { log, burials } = setup({ ...poison, message: { ...poison.message, attempt: 4 } })

    expect(log).toEqual([])
    expect(burials).toMatchObject([{ reason: 'POISON', isKeyHeld: true, failure: { code: 'RELAY_DIED' } }])
  })

  it('that was charged with fewer deaths than maxAttempts gets its last attempt', async () => {
    const message = aBuffered(1, null, { maxTogether: 1, diedAlone: true })
    const { log, burials, answer } = setup({ ...message, message: { ...message.message, attempt: 3 } })
    await answer()
    await answer()

    expect(log).toEqual(['begin 1', 'publish 1', 'end'])
    expect(burials).toEqual([])
  })
})
