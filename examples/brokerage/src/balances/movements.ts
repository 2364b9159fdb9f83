import type { Order } from '../orders/order.ts'
import type { LedgerAccount, Transfer } from './ledger.ts'

/** The three pockets an order moves its amount between. */
interface Pockets {
  readonly free: LedgerAccount
  readonly reserved: LedgerAccount
  readonly gained: LedgerAccount
}

/**
 * A purchase spends cash and gains a holding; a sale spends a holding and gains cash. Orders are placed by amount and not by
 * quantity, so a holding is kept at the amount paid and the same two-entry transfers serve both sides.
 */
function pocketsOf({ accountId, asset, side }: Order): Pockets {
  const cash = (kind: 'cash' | 'cash_reserved'): LedgerAccount => ({ accountId, kind, asset: 'BRL' })
  const holding = (kind: 'holding' | 'holding_reserved'): LedgerAccount => ({ accountId, kind, asset })
  return side === 'BUY'
    ? { free: cash('cash'), reserved: cash('cash_reserved'), gained: holding('holding') }
    : { free: holding('holding'), reserved: holding('holding_reserved'), gained: cash('cash') }
}

/** Sets aside what the order may cost. */
export function reservation(order: Order): Transfer {
  const { free, reserved } = pocketsOf(order)
  return { ...amountOf(order), from: free, to: reserved, reason: 'reservation' }
}

/** The exchange filled the order: what was reserved becomes what was bought (or sold for). */
export function settlement(order: Order): Transfer {
  const { reserved, gained } = pocketsOf(order)
  return { ...amountOf(order), from: reserved, to: gained, reason: 'settlement' }
}

/** The order will never fill: what was reserved is free again. */
export function compensation(order: Order): Transfer {
  const { free, reserved } = pocketsOf(order)
  return { ...amountOf(order), from: reserved, to: free, reason: 'compensation' }
}

function amountOf({ orderId, amountCentavos }: Order): { orderId: string; amountCentavos: number } {
  return { orderId, amountCentavos }
}
