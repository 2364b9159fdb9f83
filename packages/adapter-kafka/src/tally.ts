import {
  type MessageId,
  orderOf,
  type OutboxMessage,
  type PublishFailure,
  type PublishResult,
} from '@malote/outbox-core'

/** What became of the messages of one publish, and which keys must not go on. */
export interface Tally {
  accept(message: OutboxMessage): void
  /** Also blocks its ordering key. */
  fail(message: OutboxMessage, failure: PublishFailure): void
  /** Fails the message when an earlier one of its key failed, and says so. */
  failIfBlocked(message: OutboxMessage): boolean
  readonly accepted: number
  results(): PublishResult[]
}

const predecessorFailed: PublishFailure = {
  kind: 'retryable',
  code: 'PREDECESSOR_FAILED',
  message: 'an earlier message of its ordering key was not accepted',
}

export function createTally(): Tally {
  const results = new Map<MessageId, PublishResult>()
  const blocked = new Set<string>()
  let accepted = 0

  function fail(message: OutboxMessage, failure: PublishFailure): void {
    const order = orderOf(message)
    if (order !== null) blocked.add(order)
    results.set(message.id, { id: message.id, status: 'failed', failure })
  }

  return {
    get accepted() {
      return accepted
    },
    accept: ({ id }) => {
      accepted++
      results.set(id, { id, status: 'accepted' })
    },
    fail,
    failIfBlocked: (message) => {
      const order = orderOf(message)
      if (order === null || !blocked.has(order)) return false
      fail(message, predecessorFailed)
      return true
    },
    results: () => [...results.values()],
  }
}
