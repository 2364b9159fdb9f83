import type { ConsumeMessage } from 'amqplib'
import {
  type DeadLetter,
  decodeForeign,
  encodeDeadLetterNote,
  type KeyedQueue,
  type MessageInHand,
  type MessageProcessor,
  receivedOf,
} from '@malote/outbox-core/adapter'
import { type LetterDelays, sendDeadLetter, waitingLetterOf } from './dead-letter.ts'
import { attemptOf, decodeMessage, notes, sentAtOf } from './decode.ts'
import type { Mover } from './mover.ts'
import type { ResolvedRabbitmqConsumerOptions } from './options.ts'
import type { Session } from './session.ts'
import { retryQueueOf } from './topology.ts'

/** What attending a message needs of the consumer. */
export interface Handling {
  readonly options: ResolvedRabbitmqConsumerOptions
  readonly mover: Mover
  /** Messages of one key one after the other, across sessions: a handler of a lost session may still run. */
  readonly keys: KeyedQueue<MessageInHand>
  readonly processor: MessageProcessor
  readonly letterDelays: LetterDelays
  /** Aborts when no handler may begin any more. */
  readonly draining: AbortSignal
  /** Aborts when running handlers must give up. */
  readonly graceOver: AbortSignal
}

/** Sees a message through until it is acknowledged or moved; returns early, having done neither, when it goes back to the queue. */
export type MessageHandler = (raw: ConsumeMessage, session: Session) => Promise<void>

export function createMessageHandler(handling: Handling): MessageHandler {
  return (raw, session) => handleMessage(raw, session, handling)
}

async function handleMessage(raw: ConsumeMessage, session: Session, handling: Handling): Promise<void> {
  const { options, mover, keys, processor, letterDelays, draining, graceOver } = handling
  const known = { topic: raw.fields.routingKey, body: raw.content, sentAt: sentAtOf(raw) }
  const received = receivedOf(() => decodeForeign(options.decode, raw, known) ?? decodeMessage(raw))
  const key = received.message?.orderingKey ?? null
  const topic = received.message?.topic ?? raw.fields.routingKey
  const attempt = attemptOf(raw, options.queue)
  const acknowledge = (): boolean => session.acknowledge(raw)

  /** Without the retry queue the message waits in place, which is slower for others and never wrong. */
  async function retry(inMs: number, spent: number): Promise<boolean> {
    const retryQueue = key === null ? retryQueueFor(inMs, options) : null
    if (retryQueue === null) return false
    const moving = mover.move(raw, retryQueue, { [notes.topic]: topic, [notes.attempts]: spent })
    const moved = await moving.then(
      () => true,
      () => false,
    )
    return moved && acknowledge()
  }

  /** In the retry queue no letter keeps others out of the prefetch. The retry queue missing, the letter waits in place. */
  async function defer({ note }: DeadLetter): Promise<number | null> {
    const delayMs = letterDelays(note)
    if (delayMs === null) return null
    const waiting = { [notes.topic]: topic, [notes.letter]: encodeDeadLetterNote(note) }
    const moving = mover.move(raw, retryQueueOf(options.queue, delayMs), waiting)
    const moved = await moving.then(
      () => true,
      () => false,
    )
    return moved && acknowledge() ? delayMs : null
  }

  const letter = waitingLetterOf(raw, options.queue)
  const turn = letter === null ? key : null
  const inHand: MessageInHand = {
    received,
    ...(letter === null ? {} : { letter }),
    attempt,
    isRedelivered: raw.fields.redelivered || attempt > 1,
    source: options.queue,
    topic,
    lost: session.over,
    ending: draining,
    graceOver,
    behind: () => keys.waitingFor(turn),
    acknowledge,
    retry,
    deadLetter: (written) => sendDeadLetter(raw, topic, written, handling),
    defer,
  }
  await keys.run(turn, () => processor.process(inHand), inHand)
}

/** The queue a message without a key waits in, or null when it waits in place: too short or long a pause. */
function retryQueueFor(inMs: number, { queue, retryDelaysMs }: ResolvedRabbitmqConsumerOptions): string | null {
  const shortest = retryDelaysMs[0]
  if (shortest === undefined || inMs < shortest) return null
  const delayMs = retryDelaysMs.find((delay) => delay >= inMs)
  return delayMs === undefined ? null : retryQueueOf(queue, delayMs)
}
