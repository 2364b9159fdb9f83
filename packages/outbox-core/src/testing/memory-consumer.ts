import { createKeyedQueue } from '../adapter/keyed-queue.ts'
import { type ResolvedConsumerOptions, resolveConsumerOptions } from '../adapter/consumer-settings.ts'
import { createMessageProcessor, type MessageProcessor } from '../adapter/process-message.ts'
import { type Clock, systemClock } from '../clock.ts'
import type { Consumer, ConsumerOptions } from '../consumer.ts'
import { OutboxError } from '../errors.ts'
import { deadLetterOf, type MemoryDeadLetter, type MemoryHold, type MemoryQueue } from './memory-queue.ts'

/** A consumer of a memory broker. */
export interface MemoryConsumer extends Consumer {
  /** Cuts it off for good, as SIGKILL does: nothing it says afterwards is heard, and its messages go to another consumer. */
  crash(): void
}

/** What a consumer of the memory broker reads. The options that every consumer has hold here too. */
export interface MemoryConsumerOptions extends ConsumerOptions {
  readonly topic: string
  /** Each group gets every message of the topic, from the first one on; consumers of one group share them. @defaultValue "default" */
  readonly group?: string
  /** @defaultValue the system's clock */
  readonly clock?: Clock
}

/** What the consumer needs of its broker. */
export interface MemorySource {
  readonly queue: MemoryQueue
  beforeDeadLetter(letter: MemoryDeadLetter): Promise<void> | void
  /** Present while the broker is up; aborts when it goes down. */
  session(): AbortSignal | null
  /** Resolves at the next change of the broker's being up or down, or when `signal` aborts. */
  change(signal: AbortSignal): Promise<void>
}

export function createMemoryConsumer(options: MemoryConsumerOptions, source: MemorySource): MemoryConsumer {
  return new InMemoryConsumer(options, source)
}

class InMemoryConsumer implements MemoryConsumer {
  readonly name = 'memory'
  readonly #topic: string
  readonly #options: ResolvedConsumerOptions
  readonly #source: MemorySource
  readonly #clock: Clock
  readonly #processor: MessageProcessor
  readonly #draining = new AbortController()
  readonly #graceOver = new AbortController()
  readonly #crashed = new AbortController()
  /** Messages of one key one after the other, across sessions: a handler of a lost session may still run. */
  readonly #keys = createKeyedQueue(Number.POSITIVE_INFINITY)
  readonly #attending = new Map<MemoryHold, Promise<void>>()
  #running: Promise<void> | null = null
  #released: Promise<void> = Promise.resolve()
  #stopping: Promise<void> | null = null

  constructor(options: MemoryConsumerOptions, source: MemorySource) {
    this.#topic = options.topic
    this.#options = resolveConsumerOptions(options)
    this.#source = source
    this.#clock = options.clock ?? systemClock
    this.#processor = createMessageProcessor(this.#options, this.#clock)
  }

  start(): Promise<void> {
    if (this.#running !== null || this.#stopping !== null)
      return Promise.reject(new OutboxError('CONSUMER_STATE', 'a consumer starts once: create another one'))
    const started = Promise.withResolvers<void>()
    this.#running = this.#run(() => started.resolve())
    const ending = AbortSignal.any([this.#draining.signal, this.#crashed.signal])
    this.#released = this.#processor.handleReleased({ ending, graceOver: this.#graceOver.signal })
    return started.promise
  }

  async stop({ graceMs = 10_000 }: { readonly graceMs?: number } = {}): Promise<void> {
    this.#stopping ??= this.#drain(graceMs)
    await this.#stopping
  }

  crash(): void {
    this.#crashed.abort(new Error('the consumer was killed'))
  }

  /** From session to session until it stops. Never rejects. */
  async #run(onStarted: () => void): Promise<void> {
    const over = AbortSignal.any([this.#draining.signal, this.#crashed.signal])
    for (let sessions = 0; !over.aborted;) {
      const session = this.#source.session()
      if (session === null) {
        this.#options.report({
          type: 'consumer.disconnected',
          error: new Error('the memory broker is down'),
          retryInMs: 0,
        })
        await this.#source.change(over)
        continue
      }
      this.#options.report({ type: sessions++ === 0 ? 'consumer.started' : 'consumer.reconnected' })
      onStarted()
      await this.#receive(AbortSignal.any([session, this.#crashed.signal]), AbortSignal.any([session, over]))
    }
    onStarted()
  }

  /** Takes what may be handled, as many at a time as there are places, until the session or the consumer is over. */
  async #receive(lost: AbortSignal, over: AbortSignal): Promise<void> {
    const { queue } = this.#source
    const onLost = (): void => {
      for (const hold of this.#attending.keys()) this.#lose(hold)
    }
    lost.addEventListener('abort', onLost, { once: true })
    while (!over.aborted) {
      const isFull = this.#attending.size >= this.#options.concurrency
      const next = isFull ? { inMs: Number.POSITIVE_INFINITY } : queue.take(this.#clock.monotonicMs())
      if ('entry' in next) this.#attend(next, lost)
      else await this.#pause(next.inMs, over)
    }
  }

  /** Until the queue changes, the next message is due, or it is over. */
  #pause(inMs: number, over: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        unwatch()
        cancel()
        over.removeEventListener('abort', done)
        resolve()
      }
      const unwatch = this.#source.queue.watch(done)
      const cancel = inMs === Number.POSITIVE_INFINITY ? () => {} : this.#clock.after(inMs, done)
      over.addEventListener('abort', done, { once: true })
    })
  }

  #attend(hold: MemoryHold, lost: AbortSignal): void {
    const work = this.#keys
      .run(hold.entry.order, () => this.#process(hold, lost))
      .finally(() => {
        this.#attending.delete(hold)
        this.#source.queue.giveBack(hold) // Where it was, unless it is settled. Also wakes who waits for a place.
      })
    this.#attending.set(hold, work)
  }

  /** What was with a consumer that is gone is another delivery for the next one. */
  #lose(hold: MemoryHold): void {
    if (this.#source.queue.giveBack(hold) && this.#crashed.signal.aborted) hold.entry.spent++
  }

  async #process(hold: MemoryHold, lost: AbortSignal): Promise<void> {
    const { queue } = this.#source
    const { entry } = hold
    await this.#processor.process({
      received: entry.received,
      attempt: entry.spent + 1,
      source: this.#topic,
      position: String(entry.position),
      topic: this.#topic,
      lost,
      ending: this.#draining.signal,
      graceOver: this.#graceOver.signal,
      acknowledge: () => queue.settle(hold),
      retry: (inMs, spent) => {
        if (lost.aborted) return false
        entry.spent = spent
        entry.notBeforeMs = this.#clock.monotonicMs() + inMs
        return queue.giveBack(hold)
      },
      deadLetter: async (letter) => {
        if (lost.aborted) return
        const put = deadLetterOf(entry, letter)
        await this.#source.beforeDeadLetter(put)
        queue.deadLetters.push(put)
      },
    })
  }

  async #drain(graceMs: number): Promise<void> {
    this.#draining.abort()
    const over = new AbortController()
    if (this.#attending.size > 0 && !this.#crashed.signal.aborted)
      await Promise.race([Promise.allSettled(this.#attending.values()), this.#clock.sleep(graceMs, over.signal)])
    over.abort()
    this.#graceOver.abort(new Error('the grace period of stop() is over'))
    for (const hold of this.#attending.keys()) this.#source.queue.giveBack(hold)
    if (this.#running === null) return
    await Promise.all([this.#running, this.#released])
    this.#options.report({ type: 'consumer.stopped' })
  }
}
