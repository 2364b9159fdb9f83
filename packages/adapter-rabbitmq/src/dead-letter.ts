import type { ConsumeMessage } from 'amqplib'
import {
  type DeadLetter,
  deadLetterHeader,
  DeadLetterTooLargeError,
  encodeDeadLetterNote,
} from '@malote/outbox-core/adapter'
import { notes } from './decode.ts'
import type { Mover } from './mover.ts'
import type { ResolvedRabbitmqConsumerOptions } from './options.ts'

/**
 * Moves the message to the dead-letter queue.
 *
 * @throws DeadLetterTooLargeError when AMQP cannot carry it, and Error when the queue refuses or is out of reach
 */
export async function moveToDeadLetters(
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

function shrunk(raw: ConsumeMessage, form: DeadLetter['form']): ConsumeMessage {
  if (form === 'whole' || form === 'bare') return raw
  const properties = { ...raw.properties, headers: {} }
  return { ...raw, properties, content: form === 'stub' ? Buffer.alloc(0) : raw.content }
}
