import type { MessageId, OutboxMessage, PublishFailure, PublishResult } from '@malote/outbox-core'

/** What became of the messages of one publish. */
export interface Tally {
  accept(message: OutboxMessage): void
  fail(message: OutboxMessage, failure: PublishFailure): void
  readonly anyAccepted: boolean
  /** One result for each message of the batch; `otherwise` for those nobody told of. */
  results(batch: readonly OutboxMessage[], otherwise: PublishFailure): PublishResult[]
}

export function createTally(): Tally {
  const results = new Map<MessageId, PublishResult>()
  let anyAccepted = false
  return {
    get anyAccepted() {
      return anyAccepted
    },
    accept: ({ id }) => {
      anyAccepted = true
      results.set(id, { id, status: 'accepted' })
    },
    fail: ({ id }, failure) => void results.set(id, { id, status: 'failed', failure }),
    results: (batch, otherwise) =>
      batch.map(({ id }) => results.get(id) ?? { id, status: 'failed', failure: otherwise }),
  }
}
