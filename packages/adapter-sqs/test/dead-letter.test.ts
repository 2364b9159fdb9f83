import type { Message } from '@aws-sdk/client-sqs'
import { deadLetterHeader, type DeadLetterNote } from '@malote/outbox-core'
import { describe, expect, it } from 'vitest'
import { deadLetterNoteOf } from '../src/index.ts'

const note: DeadLetterNote = {
  reason: 'MAX_ATTEMPTS',
  attempts: 5,
  error: 'Error: no stock',
  source: 'orders.fifo',
  topic: 'orders',
  at: '2026-11-28T00:00:00.000Z',
}

/** As AWS hands over what its redrive policy moved. */
const movedFrom = (queue: string): NonNullable<Message['Attributes']> => ({
  DeadLetterQueueSourceArn: `arn:aws:sqs:eu-west-1:123456789012:${queue}`,
  ApproximateFirstReceiveTimestamp: '1767323045678',
})

const withNote = { [deadLetterHeader]: { DataType: 'String', StringValue: JSON.stringify(note) } }

describe('why a letter is in the dead-letter queue', () => {
  it.each<[string, Message, object | null]>([
    ['a consumer of ours wrote it', { MessageAttributes: withNote, Attributes: {} }, note],
    ['nobody says', { MessageAttributes: {}, Attributes: {} }, null],
    [
      'the redrive policy of the queue moved it',
      {
        MessageAttributes: { 'malote-topic': { DataType: 'String', StringValue: 'orders' } },
        Attributes: movedFrom('q'),
      },
      { reason: 'DELIVERY_LIMIT', attempts: 0, source: 'q', topic: 'orders', at: '2026-01-02T03:04:05.678Z' },
    ],
    [
      'the policy moved it after a tool had brought it back, with the note of its first death still on it',
      { MessageAttributes: withNote, Attributes: movedFrom('orders.fifo') },
      { reason: 'DELIVERY_LIMIT', source: 'orders.fifo' },
    ],
    [
      'the policy of a dead-letter queue moved a letter of ours on to the next',
      { MessageAttributes: withNote, Attributes: movedFrom('orders-dead.fifo') },
      note,
    ],
  ])('%s', (_, letter, expected) => {
    const read = deadLetterNoteOf(letter)

    if (expected === null) expect(read).toBeNull()
    else expect(read).toMatchObject(expected)
  })
})
