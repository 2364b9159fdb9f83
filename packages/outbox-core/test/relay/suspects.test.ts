import { describe, expect, it } from 'vitest'
import type { Publisher, PublishResult } from '../../src/publisher.ts'
import { Blocks } from '../../src/relay/blocks.ts'
import { type BufferedMessage, createBuffer } from '../../src/relay/buffer.ts'
import { Dispatcher } from '../../src/relay/dispatcher.ts'
import { Lanes } from '../../src/relay/lanes.ts'
import { resolveRelayOptions } from '../../src/relay/resolved-options.ts'
import { Schedule } from '../../src/relay/schedule.ts'
import type { Burial } from '../../src/relay/settle.ts'
import { createManualClock } from '../../src/testing/manual-clock.ts'
import { aBuffered, seqsOf } from './a-buffered.ts'

const suspect = (seq: number, order: string | null = null, company = 1): BufferedMessage =>
  aBuffered(seq, order, { company })

function scheduleOf(...messages: BufferedMessage[]): Schedule {
  const schedule = new Schedule()
  for (const message of messages) schedule.add(message)
  return schedule
}

describe('a suspect in the schedule', () => {
  it('is a batch of its own, and the messages around it keep their order', () => {
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

    expect(batches.filter((batch) => batch.length > 1)).toEqual([[2, 3, 4]])
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
  readonly dispatcher: Dispatcher
  readonly schedule: Schedule
} {
  const [log, burials, answers]: [string[], Burial[], (() => void)[]] = [[], [], []]
  const publisher: Publisher = {
    name: 'test',
    close: () => Promise.resolve(),
    publish: (batch) => {
      log.push(`publish ${batch.map(({ id }) => id).join(' ')}`)
      return new Promise((resolve) => {
        answers.push(() => resolve(batch.map(({ id }): PublishResult => ({ id, status: 'accepted' }))))
      })
    },
  }
  const pool = { connect: () => Promise.reject(new Error('not used')) }
  const options = resolveRelayOptions({ pool, publisher, clock: createManualClock(), maxAttempts: 3, concurrency: 4 })
  const [schedule, buffer, lanes] = [scheduleOf(...messages), createBuffer(), new Lanes()]
  lanes.add(0, 1)
  lanes.all().forEach((lane) => (lane.isReady = true))
  const settler = { published: () => {}, retry: () => {}, bury: (buried: readonly Burial[]) => burials.push(...buried) }
  const trial = {
    begin: (named: readonly BufferedMessage[]) => Promise.resolve(log.push(`begin ${seqsOf(named).join(' ')}`) > 0),
    end: () => Promise.resolve(void log.push('end')),
  }
  const parts = { options, trial, schedule, buffer, lanes, settler, blocks: new Blocks() }
  const dispatcher = new Dispatcher({ ...parts, isTrusted: () => true, onProgress: () => {} })
  const answer = async (): Promise<void> => {
    answers.shift()?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { log, burials, answer, dispatcher, schedule }
}

describe('a suspect in the dispatcher', () => {
  it('is named before it is published, and nothing else is in flight until it is settled', async () => {
    const { log, answer, dispatcher, schedule } = setup(aBuffered(1))
    dispatcher.pump()
    for (const message of [suspect(2), suspect(3), aBuffered(4)]) schedule.add(message)
    dispatcher.pump()
    const beforeItsAnswer = [...log]
    for (let answers = 0; answers < 4; answers++) await answer()

    expect(beforeItsAnswer).toEqual(['publish 1'])
    const trialOf = (seq: number): string[] => [`begin ${String(seq)}`, `publish ${String(seq)}`, 'end']
    expect(log.slice(1)).toEqual([...trialOf(2), 'publish 4', ...trialOf(3)])
  })

  it('that paid all its attempts with the deaths of relays is buried as poison and not published', () => {
    const poison = aBuffered(1, 'a', { company: 1, diedAlone: true })
    const { log, burials, dispatcher } = setup({ ...poison, message: { ...poison.message, attempt: 4 } })
    dispatcher.pump()

    expect(log).toEqual([])
    expect(burials).toMatchObject([{ reason: 'POISON', isKeyHeld: true, failure: { code: 'RELAY_DIED' } }])
  })

  it('that was charged with fewer deaths than maxAttempts gets its last attempt', async () => {
    const message = aBuffered(1, null, { company: 1, diedAlone: true })
    const { log, burials, answer, dispatcher } = setup({ ...message, message: { ...message.message, attempt: 3 } })
    dispatcher.pump()
    await answer()
    await answer()

    expect(log).toEqual(['begin 1', 'publish 1', 'end'])
    expect(burials).toEqual([])
  })
})
