import type { OutboxMessage } from '../message.ts'
import { uuidv7 } from '../uuid.ts'
import { systemClock } from '../clock.ts'

/** A complete message with good defaults and a new id, for tests that publish without a database. */
export function anOutboxMessage(change: Partial<OutboxMessage> = {}): OutboxMessage {
  return {
    id: uuidv7(),
    topic: 'orders',
    type: 'order.accepted',
    orderingKey: null,
    headers: {},
    body: '{"amount":1000}',
    contentType: 'application/json',
    createdAt: new Date(systemClock.wallMs()),
    attempt: 1,
    ...change,
  }
}

/** `count` messages to one topic, numbered in their body, each changed as told. */
export function messagesTo(
  topic: string,
  count: number,
  change: (index: number) => Partial<OutboxMessage> = () => ({}),
): OutboxMessage[] {
  return Array.from({ length: count }, (_, index) =>
    anOutboxMessage({ topic, body: `{"number":${String(index)}}`, ...change(index) }),
  )
}
