import { predecessorFailed } from '@malote/outbox-core/adapter'
import { streamOf, type OutboxMessage, type PublishFailure, type PublishResult } from '@malote/outbox-core'

/**
 * Which message of a batch may be sent next, and what became of each. Pure: no broker, no time.
 *
 * `strict`: a message is offered when its predecessor of the same topic and key was accepted. `fast`: in batch order at
 * once. In both, once a message fails all later ones of its key fail with it, whatever the broker says of them.
 */
export interface BatchOrder {
  /** Index of the next message to send, or undefined while none may be. */
  next(): number | undefined
  accepted(index: number): void
  failed(index: number, failure: PublishFailure): void
  /** Sent, but what became of them is unknown: offers them again, before all others. */
  putBack(indexes: readonly number[]): void
  /** Fails everything that has no result yet. */
  failRest(failure: PublishFailure): void
  /** Indexes without a result. */
  unsettled(): readonly number[]
  hasAccepted(): boolean
  /** Call when nothing is unsettled. */
  results(): readonly PublishResult[]
}

export function createBatchOrder(batch: readonly OutboxMessage[], ordering: 'strict' | 'fast'): BatchOrder {
  const results: (PublishResult | undefined)[] = Array.from({ length: batch.length })
  const successors = linkSuccessors(batch)
  const followers = new Set(ordering === 'strict' ? successors.values() : [])
  const ready = [...batch.keys()].filter((index) => !followers.has(index))
  let offered = 0
  let again: number[] = []

  function settle(index: number, failure: PublishFailure | null): void {
    const { id } = batch[index] as OutboxMessage
    results[index] = failure === null ? { id, status: 'accepted' } : { id, status: 'failed', failure }
  }

  function failed(index: number, failure: PublishFailure): void {
    settle(index, failure)
    for (let later = successors.get(index); later !== undefined; later = successors.get(later))
      settle(later, predecessorFailed)
  }

  return {
    next: () => {
      for (;;) {
        const index = again.shift() ?? (offered < ready.length ? ready[offered++] : undefined)
        if (index === undefined || results[index] === undefined) return index
      }
    },
    accepted: (index) => {
      if (results[index] !== undefined) return // A predecessor failed meanwhile: its failure stands.
      settle(index, null)
      const next = successors.get(index)
      if (next !== undefined && ordering === 'strict') ready.push(next)
    },
    failed: (index, failure) => {
      if (results[index] === undefined) failed(index, failure)
    },
    putBack: (indexes) => {
      again = [...indexes.toSorted((left, right) => left - right), ...again]
    },
    failRest: (failure) => {
      for (const index of batch.keys()) if (results[index] === undefined) settle(index, failure)
    },
    unsettled: () => [...batch.keys()].filter((index) => results[index] === undefined),
    hasAccepted: () => results.some((result) => result?.status === 'accepted'),
    results: () => results as readonly PublishResult[],
  }
}

/** From each message to the next of its topic and key. */
function linkSuccessors(batch: readonly OutboxMessage[]): ReadonlyMap<number, number> {
  const successors = new Map<number, number>()
  const lastOf = new Map<string, number>()
  for (const [index, message] of batch.entries()) {
    const order = streamOf(message)
    if (order === null) continue
    const previous = lastOf.get(order)
    if (previous !== undefined) successors.set(previous, index)
    lastOf.set(order, index)
  }
  return successors
}
