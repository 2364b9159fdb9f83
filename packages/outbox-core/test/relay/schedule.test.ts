import { describe, expect, it } from 'vitest'
import { Schedule } from '../../src/relay/schedule.ts'
import type { BufferedMessage } from '../../src/relay/buffered-message.ts'
import { mulberry32 } from './floor-model.ts'
import { aBuffered, seqsOf } from './a-buffered.ts'

function scheduleOf(...messages: [seq: number, stream: string | null][]): Schedule {
  const schedule = new Schedule()
  for (const [seq, stream] of messages) schedule.add(aBuffered(seq, stream))
  return schedule
}

describe('the schedule', () => {
  it('puts many messages of one stream into a batch, in order, and none into a second one', () => {
    const schedule = scheduleOf([1, 'a'], [2, 'a'], [3, 'a'])

    const first = schedule.take(2)

    expect(seqsOf(first)).toEqual([1, 2])
    expect(schedule.take(2)).toEqual([])
    schedule.release(first)
    expect(seqsOf(schedule.take(2))).toEqual([3])
  })

  it('does not let streams wait for each other, nor messages without a key', () => {
    const schedule = scheduleOf([1, 'a'], [2, 'a'], [3, 'b'], [4, null], [5, null])
    const first = schedule.take(2)

    expect(seqsOf(first)).toEqual([1, 4])
    expect(new Set(seqsOf(schedule.take(10)))).toEqual(new Set([3, 5]))
    expect(schedule.length).toBe(1)
  })

  it('never puts two messages of one id into a batch: their results could not be told apart', () => {
    const twice = (seq: number, stream: string | null, id: string): BufferedMessage => {
      const message = aBuffered(seq, stream)
      return { ...message, message: { ...message.message, id } }
    }
    const schedule = new Schedule()
    for (const message of [
      twice(1, null, 'x'),
      twice(2, null, 'x'),
      twice(3, 'a', 'y'),
      twice(4, 'b', 'y'),
      twice(5, 'a', 'y'),
    ])
      schedule.add(message)

    const taken: number[] = []
    for (let batch = schedule.take(10); batch.length > 0; batch = schedule.take(10)) {
      const ids = batch.map(({ message }) => message.id)
      expect(new Set(ids).size).toBe(ids.length)
      taken.push(...seqsOf(batch))
      schedule.release(batch)
    }

    expect(taken.sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5])
  })

  it.each(['a', null])('keeps a batch of stream %j within the bytes, and sends alone what has more', (stream) => {
    const schedule = new Schedule()
    for (const [seq, bytes] of [
      [1, 40],
      [2, 60],
      [3, 1],
      [4, 500],
      [5, 10],
    ] as const)
      schedule.add(aBuffered(seq, stream, { bytes }))

    const batches: number[][] = []
    for (let batch = schedule.take(10, 100); batch.length > 0; batch = schedule.take(10, 100)) {
      batches.push(seqsOf(batch))
      schedule.release(batch)
    }

    expect(batches).toEqual([[1, 2], [3], [4], [5]])
  })

  it('shares a batch between keyed and unkeyed messages, so that neither starves', () => {
    const schedule = new Schedule()
    for (let seq = 0; seq < 100; seq++) schedule.add(aBuffered(seq, seq % 2 === 0 ? 'hot' : null))

    const batch = schedule.take(10)

    expect(batch.filter(({ stream }) => stream === null)).toHaveLength(5)
    expect(batch.filter(({ stream }) => stream === 'hot')).toHaveLength(5)
  })

  it('lets streams take turns', () => {
    const schedule = scheduleOf([1, 'a'], [2, 'a'], [3, 'b'], [4, 'b'])
    const first = schedule.take(1)
    schedule.release(first)

    expect(seqsOf(schedule.take(1))).toEqual([3])
  })

  it('puts a late message where it belongs', () => {
    const schedule = scheduleOf([5, 'a'], [9, 'a'], [7, 'a'])

    expect(seqsOf(schedule.take(10))).toEqual([5, 7, 9])
  })

  it('gives back what waits of a stream, while what is under way stays so', () => {
    const schedule = scheduleOf([1, 'a'], [2, 'a'], [3, 'a'])
    const underWay = schedule.take(1)

    expect(seqsOf(schedule.dropStream('a'))).toEqual([2, 3])
    schedule.add(aBuffered(4, 'a'))
    expect(schedule.take(10)).toEqual([])
    schedule.release(underWay)
    expect(seqsOf(schedule.take(10))).toEqual([4])
    expect(schedule.length).toBe(0)
  })

  it('forgets a stream that was dropped before its turn, and takes it up again', () => {
    const schedule = scheduleOf([1, 'a'], [2, 'b'])

    schedule.dropStream('a')
    schedule.add(aBuffered(3, 'a'))

    expect(new Set(seqsOf(schedule.take(10)))).toEqual(new Set([2, 3]))
  })

  it('gives back what waits of a lane', () => {
    const schedule = new Schedule()
    schedule.add(aBuffered(1, null, { lane: 1 }))
    schedule.add(aBuffered(2, null, { lane: 2 }))
    schedule.add(aBuffered(3, 'a', { lane: 1 }))

    expect(seqsOf(schedule.dropLane(1))).toEqual([1, 3])
    expect(seqsOf(schedule.take(10))).toEqual([2])
  })

  it('keeps every stream in sequence and in one batch at a time over random takes and releases', () => {
    const schedule = new Schedule()
    const random = mulberry32(7)
    const lastOf = new Map<string, number>()
    const underWay: (readonly BufferedMessage[])[] = []
    for (let seq = 1; seq < 20_000; seq++) {
      schedule.add(aBuffered(seq, `k${String(Math.floor(random() * 20))}`))
      if (random() < 0.1) {
        const busy = new Set(underWay.flat().map(({ stream }) => stream))
        const batch = schedule.take(1 + Math.floor(random() * 50))
        for (const { stream, seq: taken } of batch) {
          expect(busy.has(stream)).toBe(false)
          expect(taken).toBeGreaterThan(lastOf.get(stream ?? '') ?? 0)
          lastOf.set(stream ?? '', taken)
        }
        underWay.push(batch)
      }
      if (random() < 0.1) schedule.release(underWay.splice(Math.floor(random() * underWay.length), 1).flat())
    }
  })
})
