import type { Centavos } from '../money.ts'

export type Side = 'BUY' | 'SELL'

/** Where an order is on its way. `settled`, `compensated` and `cancelled` are final. */
export type OrderStatus = 'accepted' | 'sent' | 'filled' | 'rejected' | 'settled' | 'compensated' | 'cancelled'

export interface Order {
  readonly orderId: string
  readonly accountId: string
  readonly asset: string
  readonly side: Side
  readonly amountCentavos: Centavos
}

/**
 * The state machine.
 *
 *     accepted ──> sent ──> filled ───> settled
 *        │           └────> rejected ─> compensated
 *        └─> cancelled (its reservation is given back at once)
 *
 * `sent` is committed before the exchange is called: from then on a customer's cancellation comes too late.
 */
const transitions: Readonly<Record<OrderStatus, readonly OrderStatus[]>> = {
  accepted: ['sent', 'cancelled'],
  sent: ['filled', 'rejected'],
  filled: ['settled'],
  rejected: ['compensated'],
  settled: [],
  compensated: [],
  cancelled: [],
}

export function canBecome(from: OrderStatus, to: OrderStatus): boolean {
  return transitions[from].includes(to)
}

/** The states from which an order may enter `to`: what an update must find in the row. */
export function statesBefore(to: OrderStatus): readonly OrderStatus[] {
  return orderStatuses.filter((from) => canBecome(from, to))
}

export function isFinal(status: OrderStatus): boolean {
  return transitions[status].length === 0
}

export const orderStatuses: readonly OrderStatus[] = Object.keys(transitions) as OrderStatus[]
