import { encodeDeadLetterNote } from '@malote/outbox-core/adapter'
import type { ConsumeMessage } from 'amqplib'
import { createManualClock, type ManualClock } from '@malote/outbox-core/testing'
import { describe, expect, it, vi } from 'vitest'
import { createLetterDelays, waitingLetterOf } from '../src/dead-letter.ts'

const note = {
  reason: 'PERMANENT',
  attempts: 1,
  error: 'no',
  source: 'q',
  topic: 't',
  at: '2026-01-01T00:00:00Z',
} as const

const aMessage = (headers: Readonly<Record<string, unknown>>): ConsumeMessage =>
  ({ properties: { messageId: '1', headers }, content: Buffer.from('') }) as unknown as ConsumeMessage

it('a letter is believed only when the broker says that it comes from a retry queue of this queue', () => {
  const written = { 'malote-waiting-letter': encodeDeadLetterNote(note) }
  const from = (queue: string): ConsumeMessage => aMessage({ ...written, 'x-death': [{ queue, reason: 'expired' }] })

  expect(waitingLetterOf(from('q.retry.1000'), 'q')).toEqual({ id: '1', note, form: 'whole' })
  expect(waitingLetterOf(from('other.retry.1000'), 'q')).toBeNull()
  expect(waitingLetterOf(aMessage(written), 'q')).toBeNull()
  expect(waitingLetterOf(aMessage({ 'x-death': [{ queue: 'q.retry.1000' }] }), 'q')).toBeNull()
  // RabbitMQ itself put it away afterwards, and somebody brought it back with every header it had.
  const deaths = [
    { queue: 'q', reason: 'rejected' },
    { queue: 'q.retry.1000', reason: 'expired' },
  ]
  expect(waitingLetterOf(aMessage({ ...written, 'x-death': deaths }), 'q')).toBeNull()
})

// Each message is asked: an error made and caught for each of them was the dearest function of a consumer.
it('a message without a letter is not read as one', () => {
  const parse = vi.spyOn(JSON, 'parse')
  try {
    expect(waitingLetterOf(aMessage({}), 'q')).toBeNull()
    expect(waitingLetterOf(aMessage({ 'x-death': [{ queue: 'q.retry.1000', reason: 'expired' }] }), 'q')).toBeNull()
    expect(parse).not.toHaveBeenCalled()
  } finally {
    parse.mockRestore()
  }
})

describe('a letter whose place is away', () => {
  const delaysMs = [1_000, 5_000, 30_000]
  const minutes = (clock: ManualClock, count: number) => ({
    at: new Date(clock.wallMs() - count * 60_000).toISOString(),
  })

  it('is tried again after a second however long it has waited, while letters are few', () => {
    const clock = createManualClock()
    const delays = createLetterDelays(delaysMs, clock)

    expect([0, 2, 15, 600].map((age) => delays(minutes(clock, age)))).toEqual([1_000, 1_000, 1_000, 1_000])
    expect(createLetterDelays([], clock)(minutes(clock, 0))).toBeNull()
  })

  it('is tried less often the longer its place is away, when more than fifty are tried each second', async () => {
    const clock = createManualClock()
    const delays = createLetterDelays(delaysMs, clock)
    const old = minutes(clock, 15)

    const first = Array.from({ length: 50 }, () => delays(old))
    expect(new Set(first)).toEqual(new Set([1_000]))
    expect([0, 1, 2.5, 15].map((age) => delays(minutes(clock, age)))).toEqual([1_000, 1_000, 5_000, 30_000])

    await clock.advance(1_000)
    expect(delays(old)).toBe(1_000)
  })
})
