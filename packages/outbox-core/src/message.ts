/** A message's identity, the same from `add` to the consumer's inbox: a UUID in canonical lower-case text. */
export type MessageId = string

/**
 * A message as the application hands it to `outbox.add`: not stored yet, not encoded yet.
 *
 * @typeParam Type - the message type, a key of the catalog when there is one
 * @typeParam Payload - what the type carries, before validation
 */
export interface NewMessage<Type extends string = string, Payload = unknown> {
  /** Where it goes. The adapter maps it to a queue (SQS), an exchange and routing key (RabbitMQ) or a topic (Kafka). */
  readonly topic: string
  /** What it says, for example `order.accepted`. Consumers choose their code by it. */
  readonly type: Type
  /** JSON-serialisable value, or a `Uint8Array` that travels untouched (set `contentType` then). */
  readonly payload: Payload
  /** Messages of one topic with the same ordering key are published in the order they were added. Default: no order. */
  readonly orderingKey?: string
  /** User headers. Brokers limit them (SQS carries 10 attributes in all): keep them few and short. Names are lower-cased by nobody. */
  readonly headers?: Readonly<Record<string, string>>
  /** Default `application/json`, or `application/octet-stream` for a `Uint8Array`. */
  readonly contentType?: string
  /** Default: a new UUIDv7. Pass one to make a producer's own retry visible to consumers as a duplicate. */
  readonly id?: MessageId
  /** Do not publish before this instant, judged by the database's clock. Default: at once. Excludes `delayMs`. */
  readonly availableAt?: Date
  /** Do not publish before this many milliseconds from now, counted by the database's clock. Default 0. Excludes `availableAt`. */
  readonly delayMs?: number
}

/** A message as stored: complete, immutable, already encoded. This is what a publisher is given. */
export interface OutboxMessage {
  readonly id: MessageId
  readonly topic: string
  readonly type: string
  readonly orderingKey: string | null
  readonly headers: Readonly<Record<string, string>>
  /** The exact body: a string for text and JSON, bytes for everything else. Never parsed by the relay. */
  readonly body: Uint8Array | string
  readonly contentType: string
  /** When the adding transaction began, by the database's clock. */
  readonly createdAt: Date
  /** 1 on the first try, 2 on the first retry. */
  readonly attempt: number
}

/** Identifies the stream a message belongs to, or null when it has no ordering key. Order is promised within one stream. */
export function streamOf(message: Pick<OutboxMessage, 'topic' | 'orderingKey'>): string | null {
  return message.orderingKey === null ? null : `${message.topic}\n${message.orderingKey}`
}
