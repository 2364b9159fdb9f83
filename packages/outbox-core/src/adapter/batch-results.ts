import { type MessageId, streamOf, type OutboxMessage } from '../message.ts'
import type { PublishFailure, PublishResult } from '../publisher.ts'
import { aborted, predecessorFailed } from './publishing.ts'

/** What became of the messages of one publish. Once a message fails, none behind it in its stream counts as accepted. */
export interface BatchResults {
  /** False, and failed, when an earlier message of its stream failed. */
  accept(message: OutboxMessage): boolean
  fail(message: OutboxMessage, failure: PublishFailure): void
  /** Fails the message when an earlier one of its stream failed, and says so: it must not be sent. */
  failIfBlocked(message: OutboxMessage): boolean
  readonly anyAccepted: boolean
  /** One result for each message of the batch. @param otherwise - for those nobody told of */
  results(otherwise?: PublishFailure): PublishResult[]
}

/** Begins with nothing known of any message of the batch. The batch must be in the order in which it was handed over. */
export function batchResults(batch: readonly OutboxMessage[]): BatchResults {
  const positions = new Map(batch.map(({ id }, position) => [id, position]))
  const results = new Map<MessageId, PublishResult>()
  /** The first message of each stream that failed. */
  const firstFailures = new Map<string, number>()
  let anyAccepted = false

  const positionOf = ({ id }: OutboxMessage): number => positions.get(id) ?? batch.length

  function fail(message: OutboxMessage, failure: PublishFailure): void {
    const order = streamOf(message)
    if (order !== null)
      firstFailures.set(order, Math.min(positionOf(message), firstFailures.get(order) ?? Number.POSITIVE_INFINITY))
    results.set(message.id, { id: message.id, status: 'failed', failure })
  }

  function failIfBlocked(message: OutboxMessage): boolean {
    const order = streamOf(message)
    const firstFailure = order === null ? undefined : firstFailures.get(order)
    if (firstFailure === undefined || firstFailure >= positionOf(message)) return false
    fail(message, predecessorFailed)
    return true
  }

  return {
    get anyAccepted() {
      return anyAccepted
    },
    accept: (message) => {
      if (failIfBlocked(message)) return false
      anyAccepted = true
      results.set(message.id, { id: message.id, status: 'accepted' })
      return true
    },
    fail,
    failIfBlocked,
    results: (otherwise = aborted) =>
      batch.map(({ id }) => results.get(id) ?? { id, status: 'failed', failure: otherwise }),
  }
}
