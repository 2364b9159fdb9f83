import type { MessageInHand } from '../adapter/process-message.ts'
import type { ReceivedMessage } from '../consumer.ts'
import { uuidv7 } from '../uuid.ts'

/** A received message with every field filled in, of which a test changes what it is about. */
export function aReceivedMessage(change: Partial<ReceivedMessage> = {}): ReceivedMessage {
  return {
    id: uuidv7(),
    topic: 'orders',
    type: 'order.accepted',
    orderingKey: null,
    headers: {},
    body: new TextEncoder().encode('{}'),
    contentType: 'application/json',
    createdAt: new Date(0),
    json: () => ({}),
    ...change,
  }
}

/** A message as an adapter hands it to the message processor, of a broker that takes everything. */
export function aMessageInHand(change: Partial<MessageInHand> = {}): MessageInHand {
  return {
    received: { message: aReceivedMessage() },
    attempt: 1,
    source: 'orders',
    topic: 'orders',
    lost: new AbortController().signal,
    ending: new AbortController().signal,
    acknowledge: () => true,
    retry: () => true,
    deadLetter: () => Promise.resolve(),
    ...change,
  }
}
