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
  return new InMemoryBroker()
}

type Decide = (message: OutboxMessage) => PublishFailure | null
type Hook = (batch: readonly OutboxMessage[], signal: AbortSignal) => Promise<void> | void

class InMemoryBroker implements MemoryBroker {
  readonly name = 'memory'
  readonly accepted: OutboxMessage[] = []
  readonly batches: (readonly OutboxMessage[])[] = []
  readonly #waiters = new Set<{ readonly count: number; readonly resolve: () => void }>()
  readonly #inFlight = new Set<Promise<boolean>>()
  #isDown = false
  #isClosed = false
  #decide: Decide = () => null
  #before: Hook = () => {}

  goDown(): void {
    this.#isDown = true
  }

  goUp(): void {
    this.#isDown = false
  }

  failWith(decide: Decide): void {
    this.#decide = decide
  }

  beforePublish(hook: Hook): void {
    this.#before = hook
  }

  async received(count: number): Promise<readonly OutboxMessage[]> {
    if (this.accepted.length < count)
      await new Promise<void>((resolve) => {
        this.#waiters.add({ count, resolve })
      })
    return this.accepted
  }

  publish(batch: readonly OutboxMessage[], signal: AbortSignal): Promise<readonly PublishResult[]> {
    const publishing = this.#publish(batch, signal)
    const settled: Promise<boolean> = publishing.then(
      () => this.#inFlight.delete(settled),
      () => this.#inFlight.delete(settled), // The caller gets the error; `close` only waits.
    )
    this.#inFlight.add(settled)
    return publishing
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all(this.#inFlight)
  }

  async #publish(batch: readonly OutboxMessage[], signal: AbortSignal): Promise<readonly PublishResult[]> {
    if (this.#isClosed) throw new OutboxError('PUBLISHER_CLOSED', 'the memory broker was closed: create another one')
    this.batches.push(batch)
    await this.#before(batch, signal)
    if (this.#isDown) throw new PublishOutageError('the memory broker is down')
    if (signal.aborted) return batch.map((message) => ({ id: message.id, status: 'failed', failure: aborted }))
    const results = judgeAll(batch, this.#decide)
    for (const [at, result] of results.entries()) {
      if (result.status === 'accepted') this.accepted.push(batch[at] as OutboxMessage)
    }
    this.#tellWaiters()
    return results
  }

  #tellWaiters(): void {
    for (const waiter of this.#waiters) {
      if (this.accepted.length < waiter.count) continue
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
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
