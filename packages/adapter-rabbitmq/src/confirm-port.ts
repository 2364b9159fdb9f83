import type { ConfirmChannel, Message } from 'amqplib'
import type { LiveConnection } from './connection.ts'
import type { EncodedMessage } from './encode.ts'

/** What the broker said of one message. */
export type Confirm =
  | { readonly kind: 'accepted' }
  /** A queue refused it: full, or unable to store it. */
  | { readonly kind: 'nacked' }
  /** No queue is bound for it. */
  | { readonly kind: 'returned'; readonly code: number; readonly text: string }
  /** The channel ended before an answer: nobody knows. */
  | { readonly kind: 'unknown' }

/** A confirm channel, used by one publish at a time. */
export interface ConfirmPort {
  readonly connection: LiveConnection
  /** Calls back once, later. @throws RangeError or TypeError when the message cannot be encoded; nothing was sent then */
  send(message: EncodedMessage, settle: (confirm: Confirm) => void): void
  /** The write buffer is full: send again when `onWritable` is called. */
  isFull(): boolean
  onWritable(callback: () => void): void
  isOpen(): boolean
  /** A queue refused a message on it. RabbitMQ may refuse all that follow on it, also when the queue's limit was lifted (rabbitmq-server#12206). */
  wasRefused(): boolean
  /** Why the broker closed the channel; null while it is open, and when the whole connection went. */
  closedBecause(): ChannelError | null
  /** Ends the channel without waiting. What is unconfirmed stays unknown. */
  discard(): void
}

/** An error of amqplib on a channel or a connection, with the reply code of AMQP where the broker gave one, such as 404 for what does not exist. */
export type ChannelError = Error & { readonly code?: number }

/** Opens a confirm channel. @throws when the connection is gone */
export async function openConfirmPort(connection: LiveConnection): Promise<ConfirmPort> {
  const channel = await connection.model.createConfirmChannel()
  const returned = new Map<string, Message>()
  let open = true
  let full = false
  let refused = false
  let failure: ChannelError | null = null
  let writable = (): void => {}
  channel.on('error', (error: ChannelError) => (failure = error))
  // Before amqplib's own listener, which answers everything unconfirmed as if it were refused.
  channel.prependListener('close', () => (open = false))
  channel.on('close', () => writable())
  channel.on('drain', () => {
    full = false
    writable()
  })
  // The broker returns an unroutable message before it confirms it, so the confirm finds it here.
  channel.on('return', (message: Message) => returned.set(String(message.properties.messageId), message))
  return {
    connection,
    send: (message, settle) => {
      connection.gather()
      const sent = publish(channel, message, (error) => {
        const back = returned.get(message.id)
        returned.delete(message.id)
        if (open) connection.heard()
        const confirm = confirmOf(error, back, open)
        refused ||= confirm.kind === 'nacked'
        settle(confirm)
      })
      full ||= !sent
    },
    isFull: () => full,
    onWritable: (callback) => {
      writable = callback
    },
    isOpen: () => open && !connection.lost.aborted,
    wasRefused: () => refused,
    closedBecause: () => failure,
    discard: () => {
      channel.close().catch(() => {}) // Already closed: that is what we want.
    },
  }
}

function publish(channel: ConfirmChannel, message: EncodedMessage, callback: (error: unknown) => void): boolean {
  return channel.publish(message.exchange, message.routingKey, message.content, message.properties, callback)
}

function confirmOf(error: unknown, back: Message | undefined, open: boolean): Confirm {
  if (back !== undefined) {
    const { replyCode, replyText } = back.fields as { replyCode?: number; replyText?: string }
    return { kind: 'returned', code: replyCode ?? 0, text: replyText ?? '' }
  }
  if (error === null) return { kind: 'accepted' }
  return { kind: open ? 'nacked' : 'unknown' }
}
