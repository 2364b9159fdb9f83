import type { MessageInHand } from '../adapter/message-in-hand.ts'
import type { Delivery } from '../consumer.ts'
import type { ReceivedMessage } from '../received-message.ts'
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

/** What a delivery is about: fields of its message, its payload, its attempt. */
export interface DeliveryChange extends Partial<ReceivedMessage> {
  /** Becomes the body, as JSON. */
  readonly payload?: unknown
  readonly attempt?: number
  readonly signal?: AbortSignal
}

/** A delivery to call a handler with, in a test without a broker: `await handler(aDelivery({ type: 'order.accepted', payload: { cents: 1 } }))`. */
export function aDelivery({ payload, attempt, signal, ...change }: DeliveryChange = {}): Delivery {
  const body = new TextEncoder().encode(JSON.stringify(payload ?? {}))
  const message = aReceivedMessage({
    body,
    json: () => JSON.parse(new TextDecoder().decode(body)) as unknown,
    ...change,
  })
  return { message, attempt: attempt ?? 1, signal: signal ?? new AbortController().signal }
}

/** A message as an adapter hands it to the message processor, of a broker that takes everything. */
export function aMessageInHand(change: Partial<MessageInHand> = {}): MessageInHand {
  return {
    received: { message: aReceivedMessage() },
    attempt: 1,
    isRedelivered: false,
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
