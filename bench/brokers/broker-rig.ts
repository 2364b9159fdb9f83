import type { OutboxMessage, Publisher } from '@malote/outbox-core'
import { encodeEnvelope } from '@malote/outbox-core/adapter'
import { uuidv7 } from '@malote/outbox-core'
import { payloadText, topic, type } from '../harness/load.ts'

/** A real broker, our adapter on it, and the client library alone with the same guarantees and the same bytes. */
export interface BrokerRig {
  readonly name: string
  /** Where the broker comes from and how the client alone was driven. */
  readonly configuration: string
  publisher(): Publisher
  /** Empties the broker before a measurement: a queue that is long already would cost whoever comes second. */
  reset(): Promise<unknown>
  /** Publishes `count` messages with nothing but the client library; resolves when all are acknowledged. */
  publishAlone(count: number): Promise<void>
  close(): Promise<void>
}

export const source = '/bench'

/** The headers our adapters put on every message, with an id of its own. */
export function envelopeOf(prefix: string): { id: string; headers: Record<string, string> } {
  const id = uuidv7()
  const message: OutboxMessage = {
    id,
    topic,
    type,
    orderingKey: null,
    headers: {},
    body: payloadText,
    contentType: 'application/json',
    createdAt: new Date(),
    attempt: 1,
  }
  return { id, headers: encodeEnvelope(message, { prefix, source }) }
}
