import type { DeadLetterReason, ReceivedMessage } from '@malote/outbox-core'
import { deliver, type DeliveryOutcome } from '@malote/outbox-core/adapter'
import { type Acknowledger, createAcknowledger } from './acknowledge.ts'
import { sendDeadLetter } from './dead-letter.ts'
import { createFreeDeliveries } from './free-deliveries.ts'
import { isFifo, type ResolvedSqsConsumer } from './options.ts'
import type { Hold, Holds } from './visibility.ts'

/** What came out of decoding: a message, or why it is none. */
export type Received =
  | { readonly message: ReceivedMessage; readonly error: null }
  | { readonly message: null; readonly error: unknown }

export interface Settler {
  /** Calls the handler and tells SQS what became of the message. Never rejects. */
  handle(hold: Hold, received: Received): Promise<void>
  /** A hold ended by itself: nothing of its group may go on. */
  lost(hold: Hold, error: unknown): void
  /** Gives back what no handler has begun. */
  giveBackWaiting(): Promise<void>
}

export interface SettlerParts {
  readonly settings: ResolvedSqsConsumer
  readonly holds: Holds
  /** Held messages whose handlers have not begun, in the order received. */
  readonly waiting: Set<Hold>
}

/** Requests that end a message, while the consumer stops or not, may take this long. */
const requestTimeoutMs = 5_000

export function createSettler(parts: SettlerParts): Settler {
  return new SqsSettler(parts)
}

class SqsSettler implements Settler {
  readonly #settings: ResolvedSqsConsumer
  readonly #holds: Holds
  readonly #waiting: Set<Hold>
  readonly #free = createFreeDeliveries()
  readonly #acknowledger: Acknowledger

  constructor({ settings, holds, waiting }: SettlerParts) {
    this.#settings = settings
    this.#holds = holds
    this.#waiting = waiting
    this.#acknowledger = createAcknowledger(settings.client, settings.queueUrl, {
      maxRequests: Math.ceil(settings.concurrency / 10),
      timeoutMs: requestTimeoutMs,
    })
  }

  async handle(hold: Hold, received: Received): Promise<void> {
    const attempt = this.#attemptOf(hold)
    if (received.message === null) {
      const { error } = received
      const reason = 'UNDECODABLE'
      this.#settings.report({ type: 'message.dead-lettered', id: null, messageType: null, attempt, reason, error })
      return await this.#deadLetter(hold, reason, error)
    }
    const { message } = received
    await this.#settle(hold, await deliver(this.#settings, { message, attempt, signal: hold.signal }))
  }

  lost(hold: Hold, error: unknown): void {
    this.#waiting.delete(hold)
    if (hold.id !== null) this.#settings.report({ type: 'message.hold-lost', id: hold.id, error })
    void this.#holds.giveBack(this.#takeBehind(hold), 0)
  }

  async giveBackWaiting(): Promise<void> {
    const all = [...this.#waiting]
    this.#waiting.clear()
    for (const one of all) this.#free.add(idOf(one))
    await this.#holds.giveBack(all, 0)
  }

  async #settle(hold: Hold, outcome: DeliveryOutcome): Promise<void> {
    if (hold.isOver) return
    if (outcome.action === 'acknowledge') return await this.#acknowledge(hold)
    if (outcome.action === 'dead-letter') return await this.#deadLetter(hold, outcome.reason, outcome.error)
    if (!outcome.spendsAttempt) this.#free.add(idOf(hold))
    await this.#retry(hold, outcome.inMs)
  }

  async #acknowledge(hold: Hold): Promise<void> {
    this.#holds.drop(hold)
    try {
      await this.#acknowledger.acknowledge(hold.raw.ReceiptHandle ?? '')
      this.#free.forget(idOf(hold))
    } catch (error) {
      // It comes again, and the inbox knows it; but whoever watches should see it.
      if (hold.id !== null) this.#settings.report({ type: 'message.hold-lost', id: hold.id, error })
    }
  }

  async #deadLetter(hold: Hold, reason: DeadLetterReason, error: unknown): Promise<void> {
    const { client, deadLetterQueueUrl, topic, report } = this.#settings
    const note = { reason, attempts: this.#attemptOf(hold), error, queue: topic }
    const signal = AbortSignal.timeout(requestTimeoutMs)
    try {
      await sendDeadLetter(client, deadLetterQueueUrl, hold.raw, note, signal)
    } catch (sendError) {
      const retryInMs = this.#settings.backoff(note.attempts)
      report({ type: 'message.dead-letter-failed', id: hold.id, error: sendError, retryInMs })
      return await this.#retry(hold, retryInMs)
    }
    await this.#acknowledge(hold)
  }

  /** First the failed one, then those behind it: its group stays closed to everyone until it is visible again. */
  async #retry(hold: Hold, inMs: number): Promise<void> {
    const behind = this.#takeBehind(hold)
    await this.#holds.giveBack([hold], inMs)
    await this.#holds.giveBack(behind, 0)
  }

  /** On a FIFO queue, those of the hold's group that wait for it. They spent no attempt. */
  #takeBehind(hold: Hold): Hold[] {
    if (!isFifo(this.#settings.queueUrl)) return []
    const behind = [...this.#waiting].filter((one) => one.key === hold.key)
    for (const one of behind) {
      this.#waiting.delete(one)
      this.#free.add(idOf(one))
    }
    return behind
  }

  #attemptOf(hold: Hold): number {
    return this.#free.attemptOf(idOf(hold), Number(hold.raw.Attributes?.ApproximateReceiveCount ?? 1))
  }
}

/** The name SQS itself gave the message: the same over redeliveries, and there even when nothing can be decoded. */
function idOf(hold: Hold): string {
  return hold.raw.MessageId ?? hold.raw.ReceiptHandle ?? ''
}
