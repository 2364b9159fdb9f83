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
 * RabbitMQ 4 gives every quorum queue that was made without one. A dry run returns them, and every tenth puts all of them behind, in their order,
 * so that they are counted anew.
 *
 * @throws Error when the broker is out of reach or the queue refuses; nothing is lost then
 */
export async function redriveDeadLetters(options: RabbitmqRedriveOptions): Promise<RedriveReport> {
  const connection = await openConnection(options.connect)
  const mover = createMover(options.connect, exponentialBackoff({ baseMs: 100, maxMs: 1_000 }))
  try {
    const work = options.dryRun === true ? look : bringBack
    return await work(connection, mover, options)
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

async function bringBack(
  connection: LiveConnection,
  mover: Mover,
  options: RabbitmqRedriveOptions,
): Promise<RedriveReport> {
  const { queue, deadLetterQueue = deadLetterQueueOf(queue) } = options
  const count = createRedriveCount(options)
  const channel = await openChannel(connection)
  const { messageCount } = await channel.checkQueue(deadLetterQueue)
  for (let looked = 0; looked < messageCount && count.hasRoom; looked++) {
    const letter = await channel.get(deadLetterQueue)
    if (letter === false) break
    const note = deadLetterNoteOf(letter)
    await (count.takes(note)
      ? mover.move(letter, queue, topicOf(letter, note))
      : putBehind(mover, deadLetterQueue, letter))
    channel.ack(letter)
  }
  await channel.close() // A connection's close may overtake the last acknowledgement.
  return count.report()
}

/** Counts what would go back. The queue has its letters again when it resolves. */
async function look(connection: LiveConnection, mover: Mover, options: RabbitmqRedriveOptions): Promise<RedriveReport> {
  const { deadLetterQueue = deadLetterQueueOf(options.queue) } = options
  const count = createRedriveCount(options)
  const channel = await openChannel(connection)
  const { messageCount } = await channel.checkQueue(deadLetterQueue)
  let returns = 0
  for (let looked = 0; looked < messageCount && count.hasRoom; looked++) {
    const letter = await channel.get(deadLetterQueue)
    if (letter === false) break
    if (looked === 0) returns = returnsOf(letter) // Looks begin at the front: no letter behind it has had more.
    count.takes(deadLetterNoteOf(letter))
  }
  const areAllBack = await giveBack(connection, channel, deadLetterQueue, messageCount)
  if (areAllBack && returns >= maxReturns) await renew(connection, mover, deadLetterQueue, messageCount)
  return count.report()
}

/** How long letters may be on their way back, in milliseconds. Whoever else takes them meanwhile must not be waited for. */
const givenBackMs = 1_000

/**
 * A quorum queue has its letters again a moment after the broker says that the channel is closed.
 *
 * @returns whether it has all of them
 */
async function giveBack(
  connection: LiveConnection,
  channel: Channel,
  queue: string,
  letters: number,
): Promise<boolean> {
  channel.nackAll(true) // RabbitMQ 4.3 counts only this way of giving back as no failure.
  await channel.close()
  const other = await openChannel(connection)
  const untilMs = systemClock.monotonicMs() + givenBackMs
  while (systemClock.monotonicMs() < untilMs) {
    if ((await other.checkQueue(queue)).messageCount >= letters) return true
    await systemClock.sleep(10)
  }
  return false
}

/** Of the twenty returns after which RabbitMQ 4 drops a letter, unless its queue says otherwise, those that dry runs may use up. */
const maxReturns = 10

/** How often the queue has had the letter back. A classic queue does not count, and drops none. */
function returnsOf({ properties }: GetMessage): number {
  return Number(properties.headers?.['x-delivery-count'] ?? 0)
}

/** Puts each letter behind the others, so that all have their order again and none a return. */
async function renew(connection: LiveConnection, mover: Mover, queue: string, letters: number): Promise<void> {
  const channel = await openChannel(connection)
  for (let renewed = 0; renewed < letters; renewed++) {
    const letter = await channel.get(queue)
    if (letter === false) break
    await putBehind(mover, queue, letter)
    channel.ack(letter)
  }
  await channel.close()
}

function putBehind(mover: Mover, queue: string, letter: GetMessage): Promise<void> {
  return mover.move(letter, queue, notesOf(letter))
}

/** Moving changed the routing key. */
function topicOf(letter: GetMessage, note: DeadLetterNote | null): Record<string, string> {
  const topic = textHeaders(letter)[notes.topic] ?? note?.topic
  return topic === undefined ? {} : { [notes.topic]: topic }
}

/** All that moving would take off. Of RabbitMQ's own list the note remains. */
function notesOf(letter: GetMessage): Record<string, string> {
  const note = deadLetterNoteOf(letter)
  const ours = Object.entries(textHeaders(letter)).filter(([name]) => name.startsWith('malote-'))
  const written = note === null ? {} : { [deadLetterHeader]: encodeDeadLetterNote(note), ...topicOf(letter, note) }
  return { ...written, ...Object.fromEntries(ours) }
}
