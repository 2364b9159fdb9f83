/** Every code an `OutboxError` can carry. Switch on the code, not on the class. */
export type OutboxErrorCode =
  | 'INVALID_OPTION'
  | 'INVALID_MESSAGE'
  | 'NOT_A_TRANSACTION'
  | 'DUPLICATE_MESSAGE_ID'
  | 'UNSERIALIZABLE_PAYLOAD'
  | 'PAYLOAD_TOO_LARGE'
  | 'UNKNOWN_MESSAGE_TYPE'
  | 'PAYLOAD_INVALID'
  | 'SCHEMA_MISSING'
  | 'SCHEMA_UNSUPPORTED'
  | 'UNDECODABLE_MESSAGE'
  | 'RELAY_STATE'
  | 'CONSUMER_STATE'
  | 'PUBLISHER_CLOSED'
  | 'PUBLISH_OUTAGE'
  | 'NOT_FOUND'
  | 'HANDLER_OUTAGE'

/** Thrown for misuse and broken promises. Expected outcomes are values (`PublishResult`) instead. */
export class OutboxError extends Error {
  override readonly name: string = 'OutboxError'
  readonly code: OutboxErrorCode

  constructor(code: OutboxErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** A publisher throws it when the broker as a whole is out of reach: the relay pauses and spends no attempts. */
export class PublishOutageError extends OutboxError {
  override readonly name = 'PublishOutageError'
  constructor(message: string, options?: ErrorOptions) {
    super('PUBLISH_OUTAGE', message, options)
  }
}

/**
 * A handler throws it when what the handler needs is away, for example its database or a service it calls: the message is
 * delivered again, no attempt is spent, and the consumer pauses when other deliveries end the same way. Most client errors
 * need no wrapping: see `isOutage`.
 */
export class HandlerOutageError extends OutboxError {
  override readonly name = 'HandlerOutageError'
  constructor(message: string, options?: ErrorOptions) {
    super('HANDLER_OUTAGE', message, options)
  }
}

/** A handler throws it to dead-letter the message at once: no later attempt can succeed. */
export class PermanentFailure extends Error {
  override readonly name = 'PermanentFailure'
}

/** A handler throws it for a type it does not know: the message is delivered again later and no attempt is spent. */
export class UnknownTypeError extends Error {
  override readonly name = 'UnknownTypeError'
  constructor(type: string) {
    super(`no code handles message type "${type}": deploy a consumer that knows it, or route it elsewhere`)
  }
}
