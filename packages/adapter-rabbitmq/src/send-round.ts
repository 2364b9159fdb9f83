import { type BatchOrder } from './batch-order.ts'
import { classifyConfirm } from './classify.ts'
import type { Confirm, ConfirmPort } from './confirm-port.ts'
import { type EncodedMessage, unencodable } from './encode.ts'
import type { Route } from './topology.ts'
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
  return new Promise((resolve) => new Sending(round, resolve).begin())
}

class Sending {
  readonly #round: Round
  readonly #resolve: (end: RoundEnd) => void
  readonly #inFlight = new Set<number>()
  #left: number
  #ended = false

  constructor(round: Round, resolve: (end: RoundEnd) => void) {
    this.#round = round
    this.#resolve = resolve
    this.#left = round.count
  }

  begin(): void {
    const { port, signal } = this.#round
    if (signal.aborted) return this.#end('aborted')
    signal.addEventListener('abort', this.#onAbort)
    port.onWritable(() => this.#pump())
    this.#pump()
  }

  readonly #onAbort = (): void => this.#end('aborted')

  #end(how: RoundEnd['how']): void {
    if (this.#ended) return
    this.#ended = true
    this.#round.signal.removeEventListener('abort', this.#onAbort)
    const unanswered = [...this.#inFlight]
    this.#round.order.putBack(unanswered)
    this.#resolve({ how, unanswered })
  }

  #settle(index: number, route: Route, confirm: Confirm): void {
    const { order } = this.#round
    if (this.#ended) return
    if (confirm.kind === 'unknown') return this.#end('closed')
    this.#inFlight.delete(index)
    if (confirm.kind === 'accepted') order.accepted(index)
    else order.failed(index, classifyConfirm(confirm, route))
    this.#pump()
  }

  #maySend(): boolean {
    return !this.#ended && this.#left > 0 && this.#inFlight.size < this.#round.window && !this.#round.port.isFull()
  }

  #pump(): void {
    const { port, order } = this.#round
    if (!port.isOpen()) return this.#end('closed')
    while (this.#maySend()) {
      const index = order.next()
      if (index === undefined) break
      this.#left--
      this.#send(index)
    }
    if (this.#inFlight.size === 0 && !port.isFull()) this.#end('done')
  }

  #send(index: number): void {
    const { port, order } = this.#round
    const encoded = this.#round.encode(index)
    if ('kind' in encoded) return order.failed(index, encoded)
    try {
      this.#inFlight.add(index)
      port.send(encoded, (confirm) => this.#settle(index, encoded, confirm))
    } catch (error) {
      // The channel or its connection began to close under us; anything else is amqplib's encoder, before it wrote a byte.
      if (error instanceof Error && error.name === 'IllegalOperationError') return this.#end('closed')
      this.#inFlight.delete(index)
      order.failed(index, unencodable(error instanceof Error ? error.message : String(error)))
    }
  }
}
