import { encodeDeadLetterNote } from '@malote/outbox-core/adapter'
import type { ConsumeMessage } from 'amqplib'
import { expect, it, vi } from 'vitest'
import { letterDelayMs, waitingLetterOf } from '../src/dead-letter.ts'

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

it('a letter is tried each second at first, and less often the longer its place is away', () => {
  const delays = [1_000, 5_000, 30_000]
  const aged = (seconds: number): number | null =>
    letterDelayMs({ at: new Date(Date.now() - seconds * 1_000).toISOString() }, delays)

  expect([aged(0), aged(60), aged(130), aged(900)]).toEqual([1_000, 1_000, 5_000, 30_000])
  expect(letterDelayMs(note, [])).toBeNull()
})
