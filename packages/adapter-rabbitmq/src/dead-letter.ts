import type { ConsumeMessage, Message } from 'amqplib'
import { type DeadLetterNote, readDeadLetterNote } from '@malote/outbox-core'
import {
  type Clock,
  type DeadLetter,
  deadLetterHeader,
  DeadLetterTooLargeError,
  encodeDeadLetterNote,
  systemClock,
} from '@malote/outbox-core/adapter'
import { cameFromRetryQueue, deathsOf, notes, textHeaders, type XDeath } from './decode.ts'
import type { Mover } from './mover.ts'
import type { ResolvedRabbitmqConsumerOptions } from './options.ts'

/**
 * Moves the message to the dead-letter queue.
 *
 * @throws DeadLetterTooLargeError when AMQP cannot carry it, and Error when the queue refuses or is out of reach
 */
export async function sendDeadLetter(
  raw: ConsumeMessage,
  topic: string,
  { note, form }: DeadLetter,
  { options, mover }: { readonly options: ResolvedRabbitmqConsumerOptions; readonly mover: Mover },
): Promise<void> {
  const written = form === 'bare' ? {} : { [deadLetterHeader]: encodeDeadLetterNote(note) }
  const kept = form === 'whole' || form === 'bare' ? { [notes.topic]: topic } : {}
  try {
    await mover.move(shrunk(raw, form), options.deadLetterQueue, { ...kept, ...written })
  } catch (error) {
    // amqplib throws these before it sends anything: the headers do not fit into a frame, or cannot be encoded at all.
    if (!(error instanceof RangeError || error instanceof TypeError)) throw error
    throw new DeadLetterTooLargeError('the message does not fit into a frame', { cause: error })
  }
}

/** Of how long the place has been away, the part that a letter may wait on after the mend: what is old is tried less often. */
const patience = 20

/** Letters that are tried again soon, each second, whatever their age: so the first go on soon after the mend, also when it took long. */
const soonEachSecond = 50

/** Delays of the retry queue in which a letter waits that found no place: null without retry queues. */
export type LetterDelays = (note: Pick<DeadLetterNote, 'at'>) => number | null

/**
 * A second to begin with, so that letters go on soon after the mend. Of more letters than can be tried each second the old ones wait longer, so that
 * thousands do not go round.
 *
 * @param delaysMs - of the retry queues, the shortest first
 */
export function createLetterDelays(delaysMs: readonly number[], clock: Clock = systemClock): LetterDelays {
  let second = 0
  let soon = 0
  return ({ at }) => {
    const now = Math.floor(clock.monotonicMs() / 1_000)
    if (now !== second) soon = 0
    second = now
    const shortestMs = delaysMs[0] ?? null
    if (soon++ < soonEachSecond) return shortestMs
    const ageMs = clock.wallMs() - Date.parse(at)
    return delaysMs.findLast((delayMs) => delayMs * patience <= ageMs) ?? shortestMs
  }
}

/** The letter that a message brings back from a retry queue of ours, or null. What others wrote into the header is not believed. */
export function waitingLetterOf(message: ConsumeMessage, queue: string): DeadLetter | null {
  // Asked of every message, and nearly none has been in a retry queue: those must not pay for the reading of a note.
  const note = cameFromRetryQueue(message, queue) ? waitingNoteOf(textHeaders(message)) : null
  return note === null ? null : { id: String(message.properties.messageId), note, form: 'whole' }
}

function waitingNoteOf({ [notes.letter]: letter }: Readonly<Record<string, string>>): DeadLetterNote | null {
  return letter === undefined ? null : readDeadLetterNote({ [deadLetterHeader]: letter })
}

function shrunk(raw: ConsumeMessage, form: DeadLetter['form']): ConsumeMessage {
  if (form === 'whole' || form === 'bare') return raw
  const properties = { ...raw.properties, headers: {} }
  return { ...raw, properties, content: form === 'stub' ? Buffer.alloc(0) : raw.content }
}

/**
 * Why a message of a dead-letter queue is there: the note that a consumer wrote, or, where RabbitMQ put the message away itself by a delivery
 * limit, one made of what RabbitMQ wrote. Null for a message that came another way.
 */
export function deadLetterNoteOf(message: Pick<Message, 'properties'>): DeadLetterNote | null {
  const headers = textHeaders(message)
  // RabbitMQ may put away a message whose letter still waits: that letter says more.
  return readDeadLetterNote(headers) ?? waitingNoteOf(headers) ?? brokersNote(deathsOf(message), headers[notes.topic])
}

function brokersNote(deaths: readonly XDeath[], topic: string | undefined): DeadLetterNote | null {
  const death = deaths.find(({ reason }) => reason === 'delivery_limit')
  if (death === undefined) return null
  const diedAtMs = typeof death.time?.value === 'number' ? death.time.value * 1_000 : 0
  return {
    reason: 'DELIVERY_LIMIT',
    attempts: 0, // RabbitMQ counts deliveries, and a delivery need not have been an attempt.
    error: "RabbitMQ: the queue's delivery limit was exceeded",
    source: death.queue ?? '',
    topic: topic ?? death['routing-keys']?.[0] ?? '',
    at: new Date(diedAtMs).toISOString(),
  }
}
