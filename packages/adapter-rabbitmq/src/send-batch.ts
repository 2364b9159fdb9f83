import { type OutboxMessage, type PublishFailure, PublishOutageError, type PublishResult } from '@malote/outbox-core'
import type { BatchOrder } from './batch-order.ts'
import { aborted, connectionLost } from '@malote/outbox-core/adapter'
import { classifyChannelError, concernsExchange } from './classify.ts'
import type { ConfirmChannels } from './confirm-channels.ts'
import type { ChannelError, ConfirmPort } from './confirm-port.ts'
import { type EncodedMessage, encodeMessage } from './encode.ts'
import type { ResolvedPublisherOptions } from './options.ts'
import { sendRound } from './send-round.ts'

/**
 * Sends a batch in rounds until every message has a result.
 *
 * Usually there is one round. RabbitMQ answers some mistakes (a missing exchange, no permission, a body over its limit) by closing the
 * channel, without saying which message it meant. What was unanswered then is sent again one by one, so that the culprit
 * fails alone and its neighbours do not spend attempts for it.
 *
 * @throws PublishOutageError when the broker is out of reach and nothing of the batch was accepted
 */
export async function sendBatch(
  batch: readonly OutboxMessage[],
  order: BatchOrder,
  channels: ConfirmChannels,
  options: ResolvedPublisherOptions,
  signal: AbortSignal,
): Promise<readonly PublishResult[]> {
  const refusedExchanges = new Map<string, ChannelError>()
  let suspects: readonly number[] = []
  let idleCloses = 0

  function encodeAt(index: number): EncodedMessage | PublishFailure {
    const encoded = encodeMessage(batch[index] as OutboxMessage, options)
    const refusal = 'kind' in encoded ? undefined : refusedExchanges.get(encoded.exchange)
    return 'kind' in encoded || refusal === undefined ? encoded : classifyChannelError(refusal, encoded)
  }

  function blame(index: number, error: ChannelError): void {
    const encoded = encodeAt(index)
    if ('kind' in encoded) return order.failed(index, encoded)
    if (concernsExchange(error)) refusedExchanges.set(encoded.exchange, error)
    order.failed(index, classifyChannelError(error, encoded))
  }

  async function round(port: ConfirmPort): Promise<void> {
    const alone = suspects.length > 0
    const beganMs = port.connection.heardAtMs()
    const window = alone ? 1 : options.maxUnconfirmed
    const count = alone ? suspects.length : Number.POSITIVE_INFINITY
    const { how, unanswered } = await sendRound({ port, order, window, count, signal, encode: encodeAt })
    if (how === 'done') return channels.release(port)
    if (how === 'aborted') {
      // Nothing heard since we began to send: the network may be dead, and the next publish deserves a new connection.
      const silent = unanswered.length > 0 && port.connection.heardAtMs() === beganMs
      return channels.abandon(port, silent ? 'connection' : 'channel')
    }
    const error = port.closedBecause()
    if (error === null) throw new PublishOutageError('the connection to RabbitMQ was lost')
    if (unanswered.length === 1) blame(unanswered[0] as number, error)
    else if (unanswered.length === 0 && ++idleCloses > 3) throw outageBecause(error)
    if (!alone) suspects = unanswered
  }

  while (order.unsettled().length > 0) {
    try {
      const port = await acquire(channels, signal)
      if (port !== null) await round(port)
    } catch (error) {
      if (!order.hasAccepted()) throw error
      order.failRest(connectionLost(error))
    }
    if (signal.aborted) order.failRest(aborted)
    const unsettled = new Set(order.unsettled())
    suspects = suspects.filter((index) => unsettled.has(index))
  }
  return order.results()
}

function outageBecause(error: ChannelError): PublishOutageError {
  return new PublishOutageError(`RabbitMQ closes every channel: ${error.message}`, { cause: error })
}

/** Null when the signal aborts first; the channel then goes back when it is there. */
async function acquire(channels: ConfirmChannels, signal: AbortSignal): Promise<ConfirmPort | null> {
  if (signal.aborted) return null
  const acquiring = channels.acquire()
  let onAbort = (): void => {}
  const abort = new Promise<null>((resolve) => {
    onAbort = () => resolve(null)
    signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    const port = await Promise.race([acquiring, abort])
    if (port === null)
      acquiring.then(
        (late) => channels.release(late),
        () => {},
      ) // The outage is the next publish's to report.
    return port
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
