import type { Centavos, Quantity } from '../money.ts'

export type Side = 'BUY' | 'SELL'

/** Where the saga of an order is. `SETTLED`, `COMPENSATED` and `CANCELLED` are final. */
export type OrderState =
  | 'STARTED'
  | 'BALANCE_RESERVED'
  | 'SENT_TO_B3'
  | 'FILLED'
  | 'SETTLED'
  | 'COMPENSATING'
  | 'COMPENSATED'
  | 'FAILED'
  | 'CANCELLED'

/** What a customer wants, fixed when the order is placed. */
export interface Order {
  readonly orderId: string
  readonly accountId: string
  readonly asset: string
  readonly side: Side
  /** What a purchase may cost; what a sale is expected to bring. */
  readonly amountCentavos: Centavos
  readonly quantity: Quantity
  /** The worst price accepted for one share. */
  readonly limitPriceCentavos: Centavos
}

/** What the exchange filled. Less than the order's quantity: the rest is cancelled. */
export interface Fill {
  readonly quantity: Quantity
  readonly priceCentavos: Centavos
}

/**
 * The saga.
 *
 *     STARTED ─> BALANCE_RESERVED ─> SENT_TO_B3 ─> FILLED ───────> SETTLED
 *                   │        │           │  └────> COMPENSATING ─> COMPENSATED
 *                   │        │           └> FAILED: a person decides, or the exchange after all
 *                   │        └─> COMPENSATING (never sent in time)
 *                   └─> CANCELLED (its reservation is given back at once)
 *
 * `SENT_TO_B3` is committed before the exchange is called: from then on a cancellation comes too late, and only the exchange
 * or a person can say how the order ends. `FAILED` keeps the reservation, and is never final.
 */
const transitions: Readonly<Record<OrderState, readonly OrderState[]>> = {
  STARTED: ['BALANCE_RESERVED'],
  BALANCE_RESERVED: ['SENT_TO_B3', 'COMPENSATING', 'CANCELLED'],
  SENT_TO_B3: ['FILLED', 'COMPENSATING', 'FAILED'],
  FAILED: ['FILLED', 'COMPENSATING'],
  FILLED: ['SETTLED'],
  COMPENSATING: ['COMPENSATED'],
  SETTLED: [],
  COMPENSATED: [],
  CANCELLED: [],
}

export function canBecome(from: OrderState, to: OrderState): boolean {
  return transitions[from].includes(to)
}

/** The states from which an order may enter `to`: what an update must find in the row. */
export function statesBefore(to: OrderState): readonly OrderState[] {
  return orderStates.filter((from) => canBecome(from, to))
}

export function isFinal(state: OrderState): boolean {
  return transitions[state].length === 0
}

export const orderStates: readonly OrderState[] = Object.keys(transitions) as OrderState[]
