import { OutboxError } from '../errors.ts'
import type { OutboxMessage } from '../message.ts'
import type { Publisher, PublishFailure, PublishResult } from '../publisher.ts'

/** For messages of which the broker had said nothing when the publish was aborted. They may have arrived. */
export const aborted: PublishFailure = {
  kind: 'retryable',
  code: 'ABORTED',
  message: 'the publish was aborted before the broker answered',
}

/** For messages that were not sent because an earlier one of their stream failed. */
export const predecessorFailed: PublishFailure = {
  kind: 'retryable',
  code: 'PREDECESSOR_FAILED',
  message: 'an earlier message of the same topic and ordering key was not accepted',
}

/** For what a broker that went away left unanswered: the relay counts an outage and no attempt. */
export function connectionLost(cause?: unknown): PublishFailure {
  const words = cause instanceof Error ? `: ${cause.message}` : ''
  const message = `the connection was lost before the broker answered${words}`
  return { kind: 'retryable', code: 'CONNECTION_LOST', message, ...(cause === undefined ? {} : { cause }) }
}

/** @param what - what is measured, for example `the record with its headers` */
export function tooLarge(what: string, bytes: number, maxBytes: number, raise: string): PublishFailure {
  const message = `${what} takes ${String(bytes)} bytes and the limit is ${String(maxBytes)}: store the payload elsewhere and send a reference, or ${raise}`
  return { kind: 'permanent', code: 'TOO_LARGE', message }
}

/** What an adapter must bring to `createPublisher`: its name, how it publishes a batch, and what it lets go of at the end. */
export interface PublisherParts {
  readonly name: string
  readonly publish: Publisher['publish']
  /** Lets go of what the adapter opened. Called once, with no publish under way. */
  readonly release?: () => Promise<void>
}

/** The life of a publisher: `close` waits for what is under way, once, and nothing begins afterwards. */
export function createPublisher({ name, publish, release }: PublisherParts): Publisher {
  const underWay = new Set<Promise<unknown>>()
  let closing: Promise<void> | null = null
  const close = async (): Promise<void> => {
    await Promise.allSettled(underWay)
    await release?.()
  }
  return {
    name,
    publish: async (batch: readonly OutboxMessage[], signal: AbortSignal): Promise<readonly PublishResult[]> => {
      if (closing !== null)
        throw new OutboxError('PUBLISHER_CLOSED', `the ${name} publisher is closed: create another one`)
      const work = publish(batch, signal)
      underWay.add(work)
      return work.finally(() => underWay.delete(work))
    },
    close: () => (closing ??= close()),
  }
}

/** What `start` of a consumer that was started or stopped before throws. */
export function startsOnce(): OutboxError {
  return new OutboxError('CONSUMER_STATE', 'a consumer starts once: create another one to consume again')
}
