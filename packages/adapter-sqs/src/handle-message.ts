import { abortAfter } from '@malote/outbox-core/adapter'
import type { DeadLetter, MessageInHand, MessageProcessor, Received } from '@malote/outbox-core/adapter'
import { type Acknowledger, createAcknowledger } from './acknowledge.ts'
import { sendDeadLetter } from './dead-letter.ts'
import { createFreeDeliveries } from './free-deliveries.ts'
import { isFifo, type ResolvedSqsConsumer } from './options.ts'
import type { Hold, Holds } from './visibility.ts'

export interface MessageHandler {
  /** @param behind - what waits behind it in its stream */
  take(hold: Hold, received: Received, behind: () => Iterable<MessageInHand>): MessageInHand
  /** Sees the message through. Never rejects. */
  handle(hold: Hold, inHand: MessageInHand): Promise<void>
  /** A hold ended by itself: nothing of its group may go on. */
  lost(hold: Hold): void
  /** Gives back what no handler has begun. */
  giveBackWaiting(): Promise<void>
}

export interface MessageHandlerParts {
  readonly settings: ResolvedSqsConsumer
  readonly processor: MessageProcessor
  readonly holds: Holds
  /** Held messages that wait for one before them, in the order received. */
  readonly waiting: Set<Hold>
  /** The message is dead and its letter found no place: it waits, and takes the place of no other. */
  readonly setAside: (hold: Hold) => void
  /** Aborts when no handler may begin any more. */
  readonly ending: AbortSignal
  /** Aborts when running handlers must give up. */
  readonly graceOver: AbortSignal
}

/** Requests that end a message, while the consumer stops or not, may take this long. */
const requestTimeoutMs = 5_000

export function createMessageHandler(parts: MessageHandlerParts): MessageHandler {
  return new SqsMessageHandler(parts)
}

class SqsMessageHandler implements MessageHandler {
  readonly #parts: MessageHandlerParts
  readonly #free = createFreeDeliveries()
  readonly #acknowledger: Acknowledger

  constructor(parts: MessageHandlerParts) {
    const { settings } = parts
    this.#parts = parts
    this.#acknowledger = createAcknowledger(settings.client, settings.queueUrl, {
      maxRequests: Math.ceil(settings.concurrency / 10),
      timeoutMs: requestTimeoutMs,
    })
  }

  take(hold: Hold, received: Received, behind: () => Iterable<MessageInHand>): MessageInHand {
    const { settings, waiting, ending, graceOver } = this.#parts
    const attempt = this.#attemptOf(hold)
    return {
      received,
      attempt,
      isRedelivered: receiveCountOf(hold) > 1,
      source: settings.queue,
      position: idOf(hold),
      topic: settings.topic ?? settings.queue,
      lost: hold.signal,
      ending,
      graceOver,
      behind,
      taken: (isTaken) => {
        if (isTaken) waiting.delete(hold)
        else if (!hold.isOver) waiting.add(hold)
      },
      acknowledge: () => this.#acknowledge(hold),
      retry: (inMs, spent) => this.#retry(hold, inMs, spent < attempt),
      deadLetter: (letter) => this.#deadLetter(hold, letter),
    }
  }

  async handle(hold: Hold, inHand: MessageInHand): Promise<void> {
    const end = await this.#parts.processor.process(inHand)
    if (end === 'left' && this.#parts.holds.has(hold)) await this.#retry(hold, 0, true)
  }

  lost(hold: Hold): void {
    this.#parts.waiting.delete(hold)
    void this.#parts.holds.giveBack(this.#takeBehind(hold), 0)
  }

  async giveBackWaiting(): Promise<void> {
    const { waiting, holds } = this.#parts
    const all = [...waiting]
    waiting.clear()
    for (const one of all) this.#free.add(idOf(one))
    await holds.giveBack(all, 0)
  }

  async #deadLetter(hold: Hold, letter: DeadLetter): Promise<void> {
    const { settings, setAside } = this.#parts
    try {
      await sendDeadLetter(settings.client, settings, hold.raw, letter, abortAfter(requestTimeoutMs))
    } catch (error) {
      setAside(hold)
      throw error
    }
  }

  async #acknowledge(hold: Hold): Promise<boolean> {
    const { holds, settings } = this.#parts
    if (!holds.has(hold)) return false
    holds.drop(hold)
    try {
      await this.#acknowledger.acknowledge(hold.raw.ReceiptHandle ?? '')
      this.#free.forget(idOf(hold))
      return true
    } catch (error) {
      // It comes again, and the inbox knows it; but whoever watches should see it.
      if (hold.id !== null) settings.report({ type: 'message.hold-lost', id: hold.id, error })
      return false
    }
  }

  /** First the failed one, then those behind it: its group stays closed to everyone until it is visible again. */
  async #retry(hold: Hold, inMs: number, isFree: boolean): Promise<boolean> {
    const { holds } = this.#parts
    if (isFree) this.#free.add(idOf(hold))
    const behind = this.#takeBehind(hold)
    await holds.giveBack([hold], inMs)
    await holds.giveBack(behind, 0)
    return true
  }

  /** On a FIFO queue, those of the hold's group that wait for it. They spent no attempt. */
  #takeBehind(hold: Hold): Hold[] {
    const { settings, waiting } = this.#parts
    if (!isFifo(settings.queueUrl)) return []
    const behind = [...waiting].filter((one) => one.key === hold.key)
    for (const one of behind) {
      waiting.delete(one)
      this.#free.add(idOf(one))
    }
    return behind
  }

  #attemptOf(hold: Hold): number {
    return this.#free.attemptOf(idOf(hold), receiveCountOf(hold))
  }
}

const receiveCountOf = (hold: Hold): number => Number(hold.raw.Attributes?.ApproximateReceiveCount ?? 1)

/** The name SQS itself gave the message: the same over redeliveries, and there even when nothing can be decoded. */
function idOf(hold: Hold): string {
  return hold.raw.MessageId ?? hold.raw.ReceiptHandle ?? ''
}
