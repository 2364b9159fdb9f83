import type { ConsumeMessage } from 'amqplib'
import type { ReceivedMessage } from '@malote/outbox-core'
import { deliver, type DeliveryOutcome, type KeyedQueue, systemClock } from '@malote/outbox-core/adapter'
import { deadLetter, deadLetterUndecodable } from './dead-letter.ts'
import { attemptOf, decode, notes } from './decode.ts'
import type { Mover } from './mover.ts'
import type { ResolvedRabbitmqConsumerOptions } from './options.ts'
import type { Session } from './session.ts'
import { retryQueueOf } from './topology.ts'

/** What attending a message needs of the consumer. */
export interface Attendance {
  readonly options: ResolvedRabbitmqConsumerOptions
  readonly mover: Mover
  /** Messages of one key one after the other, across sessions: a handler of a lost session may still run. */
  readonly keys: KeyedQueue
  /** Bounds the handlers; a message that waits for its next attempt is not in it. */
  readonly handlers: KeyedQueue
  /** Aborts when no handler may begin any more. */
  readonly draining: AbortSignal
  /** Aborts when running handlers must give up. */
  readonly graceOver: AbortSignal
}

/** Sees a message through until it is acknowledged or moved; returns early, having done neither, when it goes back to the queue. */
export async function attend(raw: ConsumeMessage, session: Session, attendance: Attendance): Promise<void> {
  let message: ReceivedMessage
  try {
    message = decode(raw)
  } catch (error) {
    return await deadLetterUndecodable(raw, error, session, attendance)
  }
  await attendance.keys.run(message.orderingKey, () => attendMessage(raw, message, session, attendance))
}

async function attendMessage(
  raw: ConsumeMessage,
  message: ReceivedMessage,
  session: Session,
  attendance: Attendance,
): Promise<void> {
  const { draining, graceOver, mover } = attendance
  const giveBack = AbortSignal.any([session.over, draining])
  for (let attempt = attemptOf(raw); !giveBack.aborted;) {
    const outcome = await attendance.handlers.run(null, () =>
      giveBack.aborted ? Promise.resolve(null) : handle(message, attempt, session, attendance),
    )
    if (outcome === null || session.over.aborted || graceOver.aborted) return
    if (outcome.action === 'acknowledge') return session.acknowledge(raw)
    if (outcome.action === 'dead-letter') {
      const { reason, error } = outcome
      await deadLetter(raw, { id: message.id, topic: message.topic, attempt, reason, error }, session, attendance)
      return
    }
    const spent = outcome.spendsAttempt ? attempt : attempt - 1
    const retryQueue = retryQueueFor(message, outcome.inMs, attendance.options)
    if (retryQueue !== null) {
      const moved = await succeeds(
        mover.move(raw, retryQueue, { [notes.topic]: message.topic, [notes.attempts]: spent }),
      )
      if (moved) return session.acknowledge(raw)
    }
    // In place: the message stays unacknowledged and, having a key, keeps the later ones of its key waiting.
    await systemClock.sleep(outcome.inMs, giveBack)
    attempt = spent + 1
  }
}

/** Without the retry queue the message waits in place, which is slower for others and never wrong. */
function succeeds(moving: Promise<void>): Promise<boolean> {
  return moving.then(
    () => true,
    () => false,
  )
}

/** The handler's signal says what happened while it ran: a session that ends afterwards is none of its business. */
async function handle(
  message: ReceivedMessage,
  attempt: number,
  session: Session,
  { options, graceOver }: Attendance,
): Promise<DeliveryOutcome> {
  const running = new AbortController()
  const onOver = (): void => {
    options.report({ type: 'message.hold-lost', id: message.id, error: session.over.reason })
    running.abort(session.over.reason)
  }
  const onGraceOver = (): void => running.abort(graceOver.reason)
  session.over.addEventListener('abort', onOver)
  graceOver.addEventListener('abort', onGraceOver)
  try {
    return await deliver(options, { message, attempt, signal: running.signal })
  } finally {
    session.over.removeEventListener('abort', onOver)
    graceOver.removeEventListener('abort', onGraceOver)
  }
}

/** The queue a message without a key waits in, or null when it waits in place: order, or too short or long a pause. */
function retryQueueFor(
  message: ReceivedMessage,
  inMs: number,
  { queue, retryDelaysMs }: ResolvedRabbitmqConsumerOptions,
): string | null {
  const shortest = retryDelaysMs[0]
  if (message.orderingKey !== null || shortest === undefined || inMs < shortest) return null
  const delayMs = retryDelaysMs.find((delay) => delay >= inMs)
  return delayMs === undefined ? null : retryQueueOf(queue, delayMs)
}
