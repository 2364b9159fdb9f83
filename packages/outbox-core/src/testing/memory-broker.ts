import { OutboxError, PublishOutageError } from '../errors.ts'
import type { OutboxMessage } from '../message.ts'
import { streamOf } from '../message.ts'
import type { PublishFailure, Publisher, PublishResult } from '../publisher.ts'
import { createMemoryConsumer, type MemoryConsumer, type MemoryConsumerOptions } from './memory-consumer.ts'
import { entryOf, foreignEntry, type MemoryDeadLetter, MemoryQueue } from './memory-queue.ts'

/**
 * A broker in memory, for tests and for trying things out: a publisher, and consumers of what it accepted. Both keep their contracts (they
 * pass the kits that the real brokers' adapters pass), and can be told to misbehave within them. Keeps every message for as long as it
 * lives.
 */
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
  /**
   * Called before each dead letter is put away. A throw refuses it: a `DeadLetterTooLargeError` has it tried again with less of the message in it,
   * anything else has it tried again until it is taken. Replaces the former hook.
   */
  beforeDeadLetter(hook: (letter: MemoryDeadLetter, topic: string) => Promise<void> | void): void
  /** Resolves when at least `count` messages were accepted. */
  received(count: number): Promise<readonly OutboxMessage[]>
  /** A consumer of one topic, not started. @throws OutboxError `INVALID_OPTION` */
  createConsumer(options: MemoryConsumerOptions): MemoryConsumer
  /**
   * Resolves when every consumer group has settled all that was accepted: handled, or a dead letter. A message that waits for its next
   * attempt is waited for.
   */
  settled(): Promise<void>
  /** Dead letters of a topic, of one group or of all. */
  deadLetters(topic: string, group?: string): readonly MemoryDeadLetter[]
  /** Delivers everything accepted so far once more, to every group: as after a crash of a relay, or a redrive. */
  redeliver(): void
  /** From now on messages of different keys, and those without one, are delivered in a random order. @param seed - the same seed, the same order */
  shuffle(seed?: number): void
  /** Puts a record into a topic that no publisher of ours made: this body, no attributes. */
  putForeign(topic: string, body: string): void
}

/** Makes a broker that is up, empty and accepts everything. */
export function createMemoryBroker(): MemoryBroker {
  return new InMemoryBroker()
}

type Decide = (message: OutboxMessage) => PublishFailure | null
type LetterHook = Parameters<MemoryBroker['beforeDeadLetter']>[0]
type Hook = (batch: readonly OutboxMessage[], signal: AbortSignal) => Promise<void> | void

class InMemoryBroker implements MemoryBroker {
  readonly name = 'memory'
  readonly accepted: OutboxMessage[] = []
  readonly batches: (readonly OutboxMessage[])[] = []
  readonly #waiters = new Set<{ readonly count: number; readonly resolve: () => void }>()
  readonly #inFlight = new Set<Promise<boolean>>()
  /** By topic, then by group. */
  readonly #queues = new Map<string, Map<string, MemoryQueue>>()
  readonly #sessionWatchers = new Set<() => void>()
  #session: AbortController | null = new AbortController()
  #random: (() => number) | null = null
  #isClosed = false
  #decide: Decide = () => null
  #before: Hook = () => {}
  #beforeLetter: LetterHook = () => {}

  goDown(): void {
    const session = this.#session
    this.#session = null
    session?.abort(new Error('the memory broker went down'))
    this.#tellSessionWatchers()
  }

  goUp(): void {
    this.#session ??= new AbortController()
    this.#tellSessionWatchers()
  }

  createConsumer(options: MemoryConsumerOptions): MemoryConsumer {
    const queue = this.#queueOf(options.topic, options.group ?? 'default')
    return createMemoryConsumer(options, {
      queue,
      beforeDeadLetter: (letter) => this.#beforeLetter(letter, options.topic),
      session: () => this.#session?.signal ?? null,
      change: (signal) =>
        new Promise((resolve) => {
          const done = (): void => {
            this.#sessionWatchers.delete(done)
            signal.removeEventListener('abort', done)
            resolve()
          }
          this.#sessionWatchers.add(done)
          signal.addEventListener('abort', done)
        }),
    })
  }

  async settled(): Promise<void> {
    for (const queue of this.#allQueues())
      while (queue.size > 0)
        await new Promise<void>((resolve) => {
          const unwatch = queue.watch(() => {
            unwatch()
            resolve()
          })
        })
  }

  deadLetters(topic: string, group?: string): readonly MemoryDeadLetter[] {
    const groups = [...(this.#queues.get(topic) ?? [])]
    return groups.flatMap(([name, queue]) => (group === undefined || name === group ? queue.deadLetters : []))
  }

  redeliver(): void {
    for (const message of this.accepted) this.#deliver(message)
  }

  shuffle(seed = 1): void {
    this.#random = randomFrom(seed)
    for (const queue of this.#allQueues()) queue.shuffle(this.#random)
  }

  putForeign(topic: string, body: string): void {
    this.#queueOf(topic, 'default')
    for (const queue of this.#queues.get(topic)?.values() ?? []) queue.add(foreignEntry(body))
  }

  #allQueues(): MemoryQueue[] {
    return [...this.#queues.values()].flatMap((groups) => [...groups.values()])
  }

  /** A group that is new begins with the topic's first message. */
  #queueOf(topic: string, group: string): MemoryQueue {
    const groups = this.#queues.get(topic) ?? new Map<string, MemoryQueue>()
    this.#queues.set(topic, groups)
    const known = groups.get(group)
    if (known !== undefined) return known
    const queue = new MemoryQueue()
    queue.shuffle(this.#random)
    for (const message of this.accepted) if (message.topic === topic) queue.add(entryOf(message))
    groups.set(group, queue)
    return queue
  }

  #deliver(message: OutboxMessage): void {
    for (const queue of this.#queues.get(message.topic)?.values() ?? []) queue.add(entryOf(message))
  }

  #tellSessionWatchers(): void {
    for (const watcher of this.#sessionWatchers) watcher()
  }

  failWith(decide: Decide): void {
    this.#decide = decide
  }

  beforePublish(hook: Hook): void {
    this.#before = hook
  }

  beforeDeadLetter(hook: LetterHook): void {
    this.#beforeLetter = hook
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
    if (this.#session === null) throw new PublishOutageError('the memory broker is down')
    if (signal.aborted) return batch.map((message) => ({ id: message.id, status: 'failed', failure: aborted }))
    const results = judgeAll(batch, this.#decide)
    for (const [at, result] of results.entries()) {
      if (result.status !== 'accepted') continue
      const message = batch[at] as OutboxMessage
      this.accepted.push(message)
      this.#deliver(message)
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

/** Once a message of a stream fails, none after it is accepted. */
function judgeAll(
  batch: readonly OutboxMessage[],
  decide: (message: OutboxMessage) => PublishFailure | null,
): PublishResult[] {
  const broken = new Map<string, PublishFailure>()
  return batch.map((message) => {
    const order = streamOf(message)
    const failure = (order === null ? undefined : broken.get(order)) ?? decide(message)
    if (failure === null) return { id: message.id, status: 'accepted' }
    if (order !== null) broken.set(order, { kind: 'retryable', code: 'BEHIND', message: 'an earlier message failed' })
    return { id: message.id, status: 'failed', failure }
  })
}

/** Numbers from 0 to 1 that a seed repeats. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 0x1_0000_0000
  }
}
