import { type BatchOrder } from './batch-order.ts'
import { classifyConfirm } from './classify.ts'
import type { Confirm, ConfirmPort } from './confirm-port.ts'
import { type EncodedMessage, unencodable } from './encode.ts'
import type { PublishFailure } from '@malote/outbox-core'

export interface RoundEnd {
  readonly how: 'done' | 'aborted' | 'closed'
  /** Sent and not answered; back in the order, to be offered first. */
  readonly unanswered: readonly number[]
}

export interface Round {
  readonly port: ConfirmPort
  readonly order: BatchOrder
  /** Most messages unconfirmed at a time. */
  readonly window: number
  /** Stop after this many messages were offered by the order. */
  readonly count: number
  readonly signal: AbortSignal
  encode(index: number): EncodedMessage | PublishFailure
}

/** Sends what the order offers over one channel, keeping the window full, until all of it is answered. Never rejects. */
export function sendRound(round: Round): Promise<RoundEnd> {
  const { port, order, signal } = round
  const inFlight = new Set<number>()
  let left = round.count
  return new Promise((resolve) => {
    let ended = false

    function end(how: RoundEnd['how']): void {
      if (ended) return
      ended = true
      signal.removeEventListener('abort', onAbort)
      const unanswered = [...inFlight]
      order.putBack(unanswered)
      resolve({ how, unanswered })
    }

    function onAbort(): void {
      end('aborted')
    }

    function settle(index: number, confirm: Confirm): void {
      if (ended) return
      if (confirm.kind === 'unknown') return end('closed')
      inFlight.delete(index)
      if (confirm.kind === 'accepted') order.accepted(index)
      else order.failed(index, classifyConfirm(confirm))
      pump()
    }

    function maySend(): boolean {
      return !ended && left > 0 && inFlight.size < round.window && !port.isFull()
    }

    function pump(): void {
      if (!port.isOpen()) return end('closed')
      while (maySend()) {
        const index = order.next()
        if (index === undefined) break
        left--
        send(index)
      }
      if (inFlight.size === 0 && !port.isFull()) end('done')
    }

    function send(index: number): void {
      const encoded = round.encode(index)
      if ('kind' in encoded) return order.failed(index, encoded)
      try {
        inFlight.add(index)
        port.send(encoded, (confirm) => settle(index, confirm))
      } catch (error) {
        // The channel or its connection began to close under us; anything else is amqplib's encoder, before it wrote a byte.
        if (error instanceof Error && error.name === 'IllegalOperationError') return end('closed')
        inFlight.delete(index)
        order.failed(index, unencodable(error instanceof Error ? error.message : String(error)))
      }
    }

    if (signal.aborted) return end('aborted')
    signal.addEventListener('abort', onAbort)
    port.onWritable(pump)
    pump()
  })
}
