import type { ConsumeMessage, Message } from 'amqplib'
import { afterThisTurn, systemClock } from '@malote/outbox-core/adapter'
import { createAcknowledgements } from './acknowledgements.ts'
import { closeTimeoutMs, type LiveConnection, openConnection } from './connection.ts'
import type { ResolvedRabbitmqConsumerOptions } from './options.ts'

/** One connection that consumes, from the first delivery to its loss. What is unacknowledged at its end goes back to the queue. */
export interface Session {
  /** Aborts when the session is over, with the reason: nothing can be acknowledged any more. */
  readonly over: AbortSignal
  /** Leaves with the others of this turn of the event loop. False when the session is over: the message comes again. */
  acknowledge(message: ConsumeMessage): boolean
  /** Ends the session; the broker takes back what is unacknowledged. Never rejects. */
  end(reason: unknown): Promise<void>
}

/** @throws whatever the broker or `connect` says: unreachable, no such queue, no permission */
export async function openSession(
  options: Pick<ResolvedRabbitmqConsumerOptions, 'connect' | 'queue' | 'prefetch'>,
  onMessage: (message: ConsumeMessage, session: Session) => void,
): Promise<Session> {
  const connection = await openConnection(options.connect)
  try {
    return await consume(connection, options, onMessage)
  } catch (error) {
    await connection.discard()
    throw error
  }
}

async function consume(
  connection: LiveConnection,
  { queue, prefetch }: Pick<ResolvedRabbitmqConsumerOptions, 'queue' | 'prefetch'>,
  onMessage: (message: ConsumeMessage, session: Session) => void,
): Promise<Session> {
  const over = new AbortController()
  const finish = (reason: unknown): void => over.abort(reason)
  const channel = await connection.model.createChannel()
  connection.lost.addEventListener('abort', () => finish(connection.lost.reason))
  channel.on('error', finish)
  channel.on('close', () => finish(new Error('the channel was closed')))
  const acknowledgements = createAcknowledgements()
  let willWrite = false
  const write = (): void => {
    willWrite = false
    if (over.signal.aborted) return
    connection.gather()
    try {
      for (const { tag, allUpTo } of acknowledgements.take()) channel.ack(deliveryOf(tag), allUpTo)
    } catch (error) {
      finish(error) // The channel began to close under us: what it was not told comes again.
    }
  }
  const session: Session = {
    over: over.signal,
    acknowledge: ({ fields }) => {
      if (over.signal.aborted) return false
      acknowledgements.settled(fields.deliveryTag)
      if (!willWrite) afterThisTurn(write)
      willWrite = true
      return true
    },
    end: async (reason) => {
      write()
      finish(reason)
      // The channel first: a connection's close overtakes acknowledgements that still wait to be written.
      const closed = channel.close().catch(() => {}) // Lost with its connection.
      await Promise.race([closed, systemClock.sleep(closeTimeoutMs, connection.lost)])
      await connection.discard()
    },
  }
  await channel.prefetch(prefetch)
  await channel.consume(queue, (message) => {
    // Null: the broker cancelled the consumer, because the queue was deleted or its node went away.
    if (message === null) finish(new Error(`the broker ended the consumption of queue "${queue}"`))
    else {
      acknowledgements.delivered(message.fields.deliveryTag)
      onMessage(message, session)
    }
  })
  return session
}

/** What amqplib reads of a message that it acknowledges. */
const deliveryOf = (deliveryTag: number): Message => ({ fields: { deliveryTag } }) as Message
