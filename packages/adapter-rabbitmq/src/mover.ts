import type { Backoff } from '@malote/outbox-core'
import { systemClock } from '@malote/outbox-core/adapter'
import type { Message, Options } from 'amqplib'
import { createConfirmChannels } from './confirm-channels.ts'
import type { Confirm, ConfirmPort } from './confirm-port.ts'
import type { Connect } from './connection.ts'
import { isForeignHeader } from './decode.ts'

/**
 * Puts a received message into another queue and waits for the confirm, so that the original may be acknowledged.
 *
 * It has a connection of its own: RabbitMQ stops reading connections that publish when it is short of memory, and the
 * acknowledgements must still get through then. The connection is made when the first message moves.
 */
export interface Mover {
  /** @throws Error when the queue does not exist, refuses, or cannot be reached: the message then stays where it is */
  move(message: Message, queue: string, notes: Readonly<Record<string, string | number>>): Promise<void>
  close(): Promise<void>
}

const confirmTimeoutMs = 10_000

export function createMover(connect: Connect, reconnectBackoff: Backoff): Mover {
  const channels = createConfirmChannels(connect, reconnectBackoff)
  return {
    move: async (message, queue, notes) => {
      const port = await channels.acquire()
      const confirm = await send(port, message, queue, notes)
      if (confirm.kind === 'unknown') channels.abandon(port, port.isOpen() ? 'connection' : 'channel')
      else channels.release(port)
      if (confirm.kind !== 'accepted')
        throw new Error(`cannot move a message to queue "${queue}": ${wordsFor[confirm.kind]}`)
    },
    close: () => channels.close(),
  }
}

async function send(
  port: ConfirmPort,
  message: Message,
  queue: string,
  notes: Readonly<Record<string, string | number>>,
): Promise<Confirm> {
  const timeout = new AbortController()
  const late = systemClock.sleep(confirmTimeoutMs, timeout.signal).then((): Confirm => ({ kind: 'unknown' }))
  const confirmed = new Promise<Confirm>((resolve) => {
    const properties = propertiesOf(message, notes)
    const id = String(message.properties.messageId)
    port.send({ id, exchange: '', routingKey: queue, content: message.content, properties }, resolve)
  })
  try {
    return await Promise.race([confirmed, late])
  } finally {
    timeout.abort()
  }
}

/** Everything the producer said, and our notes. Not `expiration`, `userId` or the broker's own headers: they would act again. */
function propertiesOf(message: Message, notes: Readonly<Record<string, string | number>>): Options.Publish {
  const { contentType, contentEncoding, correlationId, replyTo, messageId, timestamp, type, appId, priority } =
    message.properties as Options.Publish
  const headers = Object.entries<unknown>(message.properties.headers ?? {}).filter(([name]) => !isForeignHeader(name))
  const said = { contentType, contentEncoding, correlationId, replyTo, messageId, timestamp, type, appId, priority }
  return {
    ...(Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)) as Options.Publish),
    headers: { ...Object.fromEntries(headers), ...notes },
    mandatory: true,
    persistent: true,
  }
}

const wordsFor: Readonly<Record<Exclude<Confirm['kind'], 'accepted'>, string>> = {
  returned: 'it does not exist (see assertTopology)',
  nacked: 'it refused the message',
  unknown: 'the broker did not confirm it',
}
