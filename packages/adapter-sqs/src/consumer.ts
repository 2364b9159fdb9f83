import type { Message } from '@aws-sdk/client-sqs'
import type { Consumer } from '@malote/outbox-core'
import {
  createKeyedQueue,
  createMessageProcessor,
  type MessageInHand,
  type MessageProcessor,
  receivedOf,
  startsOnce,
  systemClock,
  within,
} from '@malote/outbox-core/adapter'
import { decodeAny } from './decode.ts'
import { isFifo, type ResolvedSqsConsumer, resolveSqsConsumerOptions, type SqsConsumerOptions } from './options.ts'
import { createReceiver, type Receiver } from './receiver.ts'
import { createMessageHandler, type MessageHandler } from './handle-message.ts'
import { createHolds, type Hold, type Holds } from './visibility.ts'

/** Most dead letters that wait for their queue beside what is held for the handlers: their bodies are in memory. */
const maxAside = 500

/** Longest a handler that was aborted may take to end before its message is given back over its head. */
const afterAbortMs = 1_000

/**
 * Consumes an SQS queue, standard or FIFO.
 *
 * On a FIFO queue messages of one group are handled in order, over all consumers of the queue, also when one of them fails: those
 * behind it wait for it. A standard queue promises no order; messages of one key are handled one at a time by this consumer, in
 * the order SQS gave them, and a failed one comes again behind others.
 *
 * `attempt` is SQS's own count of deliveries, less those this consumer gave back unhandled. A message held for twelve hours is
 * lost to the next consumer: SQS extends no further.
 *
 * @throws OutboxError `INVALID_OPTION`
 */
export function createSqsConsumer(options: SqsConsumerOptions): Consumer {
  const consumer = new SqsConsumer(resolveSqsConsumerOptions(options))
  return { name: 'sqs', start: () => consumer.start(), stop: (stopping) => consumer.stop(stopping) }
}

/** A message that waits for those before it. */
interface InTurn {
  readonly hold: Hold
  readonly inHand: MessageInHand
}

class SqsConsumer {
  readonly #settings: ResolvedSqsConsumer
  /** Messages of one key one after the other; the processor bounds the handlers. */
  readonly #keys = createKeyedQueue<InTurn>(Number.POSITIVE_INFINITY)
  readonly #ending = new AbortController()
  readonly #graceOver = new AbortController()
  readonly #processor: MessageProcessor
  readonly #holds: Holds
  readonly #messageHandler: MessageHandler
  readonly #receiver: Receiver
  readonly #waiting = new Set<Hold>()
  /** Twice what runs: a handler that ends finds its successor here, and a busy key does not keep the others away. */
  readonly #maxHeld: number
  /** Dead, and their letters found no place yet. */
  readonly #aside = new Set<Hold>()
  /** Whoever waits for room, and hears at once when a message is set aside. */
  readonly #wanting = new Set<() => void>()
  #reserved = 0
  #released: Promise<void> = Promise.resolve()
  #stopped: Promise<void> | null = null
  #isStarted = false

  constructor(settings: ResolvedSqsConsumer) {
    this.#settings = settings
    this.#processor = createMessageProcessor(settings)
    this.#maxHeld = settings.concurrency * 2
    const onLost = (hold: Hold): void => this.#messageHandler.lost(hold)
    this.#holds = createHolds({ ...settings, clock: systemClock, onLost })
    this.#messageHandler = createMessageHandler({
      settings,
      processor: this.#processor,
      holds: this.#holds,
      waiting: this.#waiting,
      setAside: (hold) => {
        if (this.#aside.has(hold)) return
        this.#aside.add(hold)
        for (const wake of this.#wanting) wake()
      },
      ending: this.#ending.signal,
      graceOver: this.#graceOver.signal,
    })
    this.#receiver = createReceiver({
      client: settings.client,
      queueUrl: settings.queueUrl,
      visibilityTimeoutMs: settings.visibilityTimeoutMs,
      waitTimeMs: settings.waitTimeMs,
      clock: systemClock,
      report: settings.report,
      room: () => this.#room(),
      onMessages: (messages, asked) => {
        this.#reserved -= asked
        for (const raw of messages) this.#accept(raw)
      },
    })
  }

  async start(): Promise<void> {
    if (this.#isStarted || this.#stopped !== null) throw startsOnce()
    this.#isStarted = true
    this.#holds.open()
    this.#released = this.#processor.handleReleased({ ending: this.#ending.signal, graceOver: this.#graceOver.signal })
    // One request brings ten messages at the most.
    this.#receiver.start(Math.ceil(this.#settings.concurrency / 10))
    this.#settings.report({ type: 'consumer.started' })
  }

  stop({ graceMs = 10_000 }: { readonly graceMs?: number } = {}): Promise<void> {
    this.#stopped ??= this.#isStarted ? this.#stop(graceMs) : Promise.resolve()
    return this.#stopped
  }

  async #stop(graceMs: number): Promise<void> {
    this.#ending.abort()
    const givenBack = this.#messageHandler.giveBackWaiting()
    await this.#receiver.stop()
    await within(graceMs, Promise.all([this.#keys.whenBelow(), this.#released]))
    this.#graceOver.abort(new Error('the consumer stops and the grace period is over'))
    if (this.#keys.size > 0) {
      await within(afterAbortMs, this.#keys.whenBelow())
      await this.#holds.giveBack([...this.#holds.all], 0)
    }
    await givenBack
    this.#holds.close()
    this.#settings.report({ type: 'consumer.stopped' })
  }

  /** Made anew for each wait: a promise that lives as long as the consumer would keep every wait that ever raced with it. */
  async #roomMayBe(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wanting.add(resolve)
    void this.#keys.whenBelow(this.#keys.size).then(resolve)
    await promise
    this.#wanting.delete(resolve)
  }

  async #room(): Promise<number> {
    for (;;) {
      const free = this.#maxHeld + Math.min(this.#aside.size, maxAside) - this.#keys.size - this.#reserved
      if (free > 0) {
        this.#reserved += Math.min(free, 10)
        return Math.min(free, 10)
      }
      await this.#roomMayBe()
    }
  }

  #accept(raw: Message): void {
    const { queueUrl } = this.#settings
    const received = receivedOf(() => decodeAny(raw, this.#settings))
    const key = isFifo(queueUrl) ? (raw.Attributes?.MessageGroupId ?? null) : (received.message?.orderingKey ?? null)
    const hold = this.#holds.take(raw, received.message?.id ?? null, key)
    this.#waiting.add(hold)
    if (this.#ending.signal.aborted) void this.#messageHandler.giveBackWaiting()
    else {
      const inHand = this.#messageHandler.take(hold, received, () => this.#behind(key))
      void this.#keys.run(key, () => this.#handle(hold, inHand), { hold, inHand })
    }
  }

  *#behind(key: string | null): Iterable<MessageInHand> {
    for (const { hold, inHand } of this.#keys.waitingFor(key)) if (!hold.isOver) yield inHand
  }

  async #handle(hold: Hold, inHand: MessageInHand): Promise<void> {
    this.#waiting.delete(hold)
    if (!hold.isOver) await this.#messageHandler.handle(hold, inHand)
    this.#aside.delete(hold)
  }
}
