import { type DeadLetterNote, exponentialBackoff } from '@malote/outbox-core'
import {
  createRedriveCount,
  deadLetterHeader,
  encodeDeadLetterNote,
  type RedriveOptions,
  type RedriveReport,
  systemClock,
} from '@malote/outbox-core/adapter'
import type { Channel, GetMessage } from 'amqplib'
import { type Connect, type LiveConnection, openConnection } from './connection.ts'
import { deadLetterNoteOf } from './dead-letter.ts'
import { notes, textHeaders } from './decode.ts'
import { createMover, type Mover } from './mover.ts'
import { deadLetterQueueOf } from './topology.ts'

/** From which queue to which queue `redriveDeadLetters` brings dead letters, and which of them. */
export interface RabbitmqRedriveOptions extends RedriveOptions {
  readonly connect: Connect
  /** Queue the letters go back to. */
  readonly queue: string
  /** @defaultValue the queue's name followed by `.dead` */
  readonly deadLetterQueue?: string
}

/**
 * Brings dead letters back to their queue, in the order they died, where they start with a full count of attempts. Letters that come meanwhile
 * stay.
 *
 * A letter is acknowledged after the queue has confirmed it: a crash in between brings it back once more, and the inbox knows the copy. Letters
 * that stay are put behind the others, as they were: returned to the queue they would be counted against its delivery limit, which
 * RabbitMQ 4 gives every quorum queue that was made without one. A dry run does return them.
 *
 * @throws Error when the broker is out of reach or the queue refuses; nothing is lost then
 */
export async function redriveDeadLetters(options: RabbitmqRedriveOptions): Promise<RedriveReport> {
  const connection = await openConnection(options.connect)
  const mover = createMover(options.connect, exponentialBackoff({ baseMs: 100, maxMs: 1_000 }))
  try {
    return await redrive(connection, mover, options)
  } finally {
    await mover.close()
    await connection.discard()
  }
}

async function openChannel({ model }: LiveConnection): Promise<Channel> {
  const channel = await model.createChannel()
  channel.on('error', () => {}) // What was under way rejects with it.
  return channel
}

/** How long letters may be on their way back, in milliseconds. Whoever else takes them meanwhile must not be waited for. */
const givenBackMs = 1_000

/** Closing the channel gives back what it has looked at. A quorum queue has it again a moment after the broker says that the channel is closed. */
async function giveBack(connection: LiveConnection, channel: Channel, queue: string, letters: number): Promise<void> {
  await channel.close()
  const other = await openChannel(connection)
  const untilMs = systemClock.monotonicMs() + givenBackMs
  while ((await other.checkQueue(queue)).messageCount < letters && systemClock.monotonicMs() < untilMs)
    await systemClock.sleep(10)
}

async function redrive(
  connection: LiveConnection,
  mover: Mover,
  options: RabbitmqRedriveOptions,
): Promise<RedriveReport> {
  const { queue, deadLetterQueue = deadLetterQueueOf(queue), dryRun = false } = options
  const count = createRedriveCount(options)
  const channel = await openChannel(connection)
  const { messageCount } = await channel.checkQueue(deadLetterQueue)
  for (let looked = 0; looked < messageCount && count.hasRoom; looked++) {
    const letter = await channel.get(deadLetterQueue)
    if (letter === false) break
    const note = deadLetterNoteOf(letter)
    const isTaken = count.takes(note)
    if (dryRun) continue // All are given back at the end.
    await (isTaken
      ? mover.move(letter, queue, topicOf(letter, note))
      : mover.move(letter, deadLetterQueue, notesOf(letter, note)))
    channel.ack(letter)
  }
  if (dryRun) await giveBack(connection, channel, deadLetterQueue, messageCount)
  return count.report()
}

/** Moving changed the routing key. */
function topicOf(letter: GetMessage, note: DeadLetterNote | null): Record<string, string> {
  const topic = textHeaders(letter)[notes.topic] ?? note?.topic
  return topic === undefined ? {} : { [notes.topic]: topic }
}

/** All that moving would take off. Of RabbitMQ's own list the note remains. */
function notesOf(letter: GetMessage, note: DeadLetterNote | null): Record<string, string> {
  const ours = Object.entries(textHeaders(letter)).filter(([name]) => name.startsWith('malote-'))
  const written = note === null ? {} : { [deadLetterHeader]: encodeDeadLetterNote(note), ...topicOf(letter, note) }
  return { ...written, ...Object.fromEntries(ours) }
}
