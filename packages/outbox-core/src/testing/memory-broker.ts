import { OutboxError, PublishOutageError } from '../errors.ts'
import type { OutboxMessage } from '../message.ts'
import { orderOf } from '../message.ts'
import type { PublishFailure, Publisher, PublishResult } from '../publisher.ts'

/** A broker in memory, for tests: it keeps the publisher contract, and can be told to misbehave within it. */
export interface MemoryBroker extends Publisher {
  /** Everything accepted, in order, repetitions included. */
  readonly accepted: readonly OutboxMessage[]
  /** Calls of `publish` so far, and the messages each was given. */
  readonly batches: readonly (readonly OutboxMessage[])[]
  /** Rejects every publish until `goUp`. */
  goDown(): void
  goUp(): void
  /** Decides what fails; null accepts. Replaces the former decision. */
  failWith(decide: (message: OutboxMessage) => PublishFailure | null): void
  /** Called before each batch is looked at; the batch waits for it, and a throw rejects it. */
  beforePublish(hook: (batch: readonly OutboxMessage[], signal: AbortSignal) => Promise<void> | void): void
  /** Resolves when at least `count` messages were accepted. */
  received(count: number): Promise<readonly OutboxMessage[]>
}

export function createMemoryBroker(): MemoryBroker {
  const accepted: OutboxMessage[] = []
  const batches: (readonly OutboxMessage[])[] = []
  const waiters = new Set<{ count: number; resolve: () => void }>()
  const inFlight = new Set<Promise<boolean>>()
  let isDown = false
  let isClosed = false
  let decide: (message: OutboxMessage) => PublishFailure | null = () => null
  let before: (batch: readonly OutboxMessage[], signal: AbortSignal) => Promise<void> | void = () => {}

  function tellWaiters(): void {
    for (const waiter of waiters) {
      if (accepted.length < waiter.count) continue
      waiters.delete(waiter)
      waiter.resolve()
    }
  }

  return {
    name: 'memory',
    accepted,
    batches,
    goDown: () => {
      isDown = true
    },
    goUp: () => {
      isDown = false
    },
    failWith: (next) => {
      decide = next
    },
    beforePublish: (hook) => {
      before = hook
    },
    received: async (count) => {
      if (accepted.length < count)
        await new Promise<void>((resolve) => {
          waiters.add({ count, resolve })
        })
      return accepted
    },
    publish: (batch, signal) => {
      const publishing = publish(batch, signal)
      const settled: Promise<boolean> = publishing.then(
        () => inFlight.delete(settled),
        () => inFlight.delete(settled), // The caller gets the error; `close` only waits.
      )
      inFlight.add(settled)
      return publishing
    },
    close: async () => {
      isClosed = true
      await Promise.all(inFlight)
    },
  }

  async function publish(batch: readonly OutboxMessage[], signal: AbortSignal): Promise<readonly PublishResult[]> {
    if (isClosed) throw new OutboxError('PUBLISHER_CLOSED', 'the memory broker was closed: create another one')
    batches.push(batch)
    await before(batch, signal)
    if (isDown) throw new PublishOutageError('the memory broker is down')
    if (signal.aborted) return batch.map((message) => ({ id: message.id, status: 'failed', failure: aborted }))
    const results = judgeAll(batch, decide)
    for (const [at, result] of results.entries()) {
      if (result.status === 'accepted') accepted.push(batch[at] as OutboxMessage)
    }
    tellWaiters()
    return results
  }
}

const aborted: PublishFailure = { kind: 'retryable', code: 'ABORTED', message: 'the publish was aborted' }

/** Once a message of an order fails, none after it is accepted. */
function judgeAll(
  batch: readonly OutboxMessage[],
  decide: (message: OutboxMessage) => PublishFailure | null,
): PublishResult[] {
  const broken = new Map<string, PublishFailure>()
  return batch.map((message) => {
    const order = orderOf(message)
    const failure = (order === null ? undefined : broken.get(order)) ?? decide(message)
    if (failure === null) return { id: message.id, status: 'accepted' }
    if (order !== null) broken.set(order, { kind: 'retryable', code: 'BEHIND', message: 'an earlier message failed' })
    return { id: message.id, status: 'failed', failure }
  })
}
