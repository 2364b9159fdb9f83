import type { DeadLetterReason, ReceivedMessage } from '@malote/outbox-core'
import { deliver, type DeliveryOutcome } from '@malote/outbox-core/adapter'
import { createAcknowledger } from './acknowledge.ts'
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

export function createSettler({ settings, holds, waiting }: SettlerParts): Settler {
  const { client, queueUrl, report } = settings
  const free = createFreeDeliveries()
  const acknowledger = createAcknowledger(client, queueUrl, {
    maxRequests: Math.ceil(settings.concurrency / 10),
    timeoutMs: requestTimeoutMs,
  })

  /** On a FIFO queue, those of the hold's group that wait for it. They spent no attempt. */
  function takeBehind(hold: Hold): Hold[] {
    if (!isFifo(queueUrl)) return []
    const behind = [...waiting].filter((one) => one.key === hold.key)
    for (const one of behind) {
      waiting.delete(one)
      free.add(idOf(one))
    }
    return behind
  }

  /** First the failed one, then those behind it: its group stays closed to everyone until it is visible again. */
  async function retry(hold: Hold, inMs: number): Promise<void> {
    const behind = takeBehind(hold)
    await holds.giveBack([hold], inMs)
    await holds.giveBack(behind, 0)
  }

  async function acknowledge(hold: Hold): Promise<void> {
    holds.drop(hold)
    try {
      await acknowledger.acknowledge(hold.raw.ReceiptHandle ?? '')
      free.forget(idOf(hold))
    } catch (error) {
      // It comes again, and the inbox knows it; but whoever watches should see it.
      if (hold.id !== null) report({ type: 'message.hold-lost', id: hold.id, error })
    }
  }

  async function deadLetter(hold: Hold, reason: DeadLetterReason, error: unknown): Promise<void> {
    const note = { reason, attempts: attemptOf(hold), error, queue: settings.topic }
    const signal = AbortSignal.timeout(requestTimeoutMs)
    try {
      await sendDeadLetter(client, settings.deadLetterQueueUrl, hold.raw, note, signal)
    } catch (sendError) {
      const retryInMs = settings.backoff(note.attempts)
      report({ type: 'message.dead-letter-failed', id: hold.id, error: sendError, retryInMs })
      return await retry(hold, retryInMs)
    }
    await acknowledge(hold)
  }

  async function settle(hold: Hold, outcome: DeliveryOutcome): Promise<void> {
    if (hold.isOver) return
    if (outcome.action === 'acknowledge') return await acknowledge(hold)
    if (outcome.action === 'dead-letter') return await deadLetter(hold, outcome.reason, outcome.error)
    if (!outcome.spendsAttempt) free.add(idOf(hold))
    await retry(hold, outcome.inMs)
  }

  function attemptOf(hold: Hold): number {
    return free.attemptOf(idOf(hold), Number(hold.raw.Attributes?.ApproximateReceiveCount ?? 1))
  }

  return {
    handle: async (hold, received) => {
      const attempt = attemptOf(hold)
      if (received.message === null) {
        const { error } = received
        report({ type: 'message.dead-lettered', id: null, messageType: null, attempt, reason: 'UNDECODABLE', error })
        return await deadLetter(hold, 'UNDECODABLE', error)
      }
      const { message } = received
      await settle(hold, await deliver(settings, { message, attempt, signal: hold.signal }))
    },
    lost: (hold, error) => {
      waiting.delete(hold)
      if (hold.id !== null) report({ type: 'message.hold-lost', id: hold.id, error })
      void holds.giveBack(takeBehind(hold), 0)
    },
    giveBackWaiting: async () => {
      const all = [...waiting]
      waiting.clear()
      for (const one of all) free.add(idOf(one))
      await holds.giveBack(all, 0)
    },
  }
}

/** The name SQS itself gave the message: the same over redeliveries, and there even when nothing can be decoded. */
function idOf(hold: Hold): string {
  return hold.raw.MessageId ?? hold.raw.ReceiptHandle ?? ''
}
