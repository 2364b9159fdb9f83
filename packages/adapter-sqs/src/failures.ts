import { type OutboxMessage, PublishOutageError, type PublishFailure } from '@malote/outbox-core'
import { describeError } from './classify.ts'

/** The failures that are ours to tell; those of AWS are in `classify.ts`. */

export function noDestination(message: OutboxMessage): PublishFailure {
  return {
    kind: 'unavailable',
    destination: `topic "${message.topic}"`,
    code: 'NO_DESTINATION',
    message: `no destination is configured for topic "${message.topic}"`,
  }
}

export function outageOf(name: string, error: unknown): PublishOutageError {
  const { name: code, message } = describeError(error)
  return new PublishOutageError(`${name} is out of reach: ${code}: ${message}`, { cause: error })
}

/** For messages to a destination that gave no answer while others took theirs. */
export function unanswered(destination: string, outage: PublishOutageError): PublishFailure {
  return { kind: 'unavailable', destination, code: 'NO_ANSWER', message: outage.message, cause: outage.cause }
}
