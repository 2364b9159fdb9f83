import type { Message } from '@aws-sdk/client-sqs'
import { type Consumer, OutboxError } from '@malote/outbox-core'
import { createKeyedQueue, type KeyedQueue, systemClock } from '@malote/outbox-core/adapter'
import { decodeMessage } from './decode.ts'
import { isFifo, type ResolvedSqsConsumer, resolveConsumer, type SqsConsumerOptions } from './options.ts'
import { createReceiver, type Receiver } from './receiver.ts'
import { createSettler, type Received, type Settler } from './settle.ts'
import { createHolds, type Hold, type Holds } from './visibility.ts'
import { within } from './within.ts'

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
  const consumer = new SqsConsumer(resolveConsumer(options))
  return { name: 'sqs', start: () => consumer.start(), stop: (stopping) => consumer.stop(stopping) }
}

class SqsConsumer {
  readonly #settings: ResolvedSqsConsumer
  readonly #handlers: KeyedQueue
  readonly #holds: Holds
  readonly #settler: Settler
  readonly #receiver: Receiver
  readonly #waiting = new Set<Hold>()
  /** Twice what runs: a handler that ends finds its successor here, and a busy key does not keep the others away. */
  readonly #maxHeld: number
  #reserved = 0
  #stopped: Promise<void> | null = null
  #isStarted = false
  #isStopping = false

  constructor(settings: ResolvedSqsConsumer) {
    this.#settings = settings
    this.#handlers = createKeyedQueue(settings.concurrency)
    this.#maxHeld = settings.concurrency * 2
    const onLost = (hold: Hold, error: unknown): void => this.#settler.lost(hold, error)
    this.#holds = createHolds({ ...settings, clock: systemClock, onLost })
    this.#settler = createSettler({ settings, holds: this.#holds, waiting: this.#waiting })
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
    if (this.#isStarted || this.#stopped !== null)
      throw new OutboxError('CONSUMER_STATE', 'a consumer starts once: create another one to consume again')
    this.#isStarted = true
    this.#holds.open()
    // One request brings ten messages at the most.
    this.#receiver.start(Math.ceil(this.#settings.concurrency / 10))
    this.#settings.report({ type: 'consumer.started' })
  }

  stop({ graceMs = 10_000 }: { readonly graceMs?: number } = {}): Promise<void> {
    this.#stopped ??= this.#isStarted ? this.#stop(graceMs) : Promise.resolve()
    return this.#stopped
  }

  async #stop(graceMs: number): Promise<void> {
    this.#isStopping = true
    const givenBack = this.#settler.giveBackWaiting()
    await this.#receiver.stop()
    await within(graceMs, this.#handlers.whenBelow())
    if (this.#handlers.size > 0) {
      this.#holds.abort(new Error('the consumer stops and the grace period is over'))
      await within(afterAbortMs, this.#handlers.whenBelow())
      await this.#holds.giveBack([...this.#holds.all], 0)
    }
    await givenBack
    this.#holds.close()
    this.#settings.report({ type: 'consumer.stopped' })
  }

  async #room(): Promise<number> {
    for (;;) {
      const free = this.#maxHeld - this.#handlers.size - this.#reserved
      if (free > 0) {
        this.#reserved += Math.min(free, 10)
        return Math.min(free, 10)
      }
      await this.#handlers.whenBelow(this.#handlers.size)
    }
  }

  #accept(raw: Message): void {
    const { queueUrl, topic } = this.#settings
    const received = decode(raw, topic)
    const key = isFifo(queueUrl) ? (raw.Attributes?.MessageGroupId ?? null) : (received.message?.orderingKey ?? null)
    const hold = this.#holds.take(raw, received.message?.id ?? null, key)
    this.#waiting.add(hold)
    if (this.#isStopping) void this.#settler.giveBackWaiting()
    else void this.#handlers.run(key, () => this.#handle(hold, received))
  }

  async #handle(hold: Hold, received: Received): Promise<void> {
    this.#waiting.delete(hold)
    if (!hold.isOver) await this.#settler.handle(hold, received)
  }
}

function decode(raw: Message, topic: string): Received {
  try {
    return { message: decodeMessage(raw, topic), error: null }
  } catch (error) {
    return { message: null, error }
  }
}
