import { type Centavos, costOf, proceedsOf } from '../money.ts'
import type { Fill, Order } from '../orders/order.ts'
import type { Movement, Pocket } from './ledger.ts'

/** The pockets an order moves things between, and what it sets aside. */
interface Reserve {
  readonly free: Pocket
  readonly reserved: Pocket
  readonly asset: string
  readonly amount: number
}

/** A purchase sets aside cash; a sale sets aside shares. */
function reserveOf({ accountId, asset, side, amountCentavos, quantity }: Order): Reserve {
  return side === 'BUY'
    ? {
        free: { accountId, kind: 'cash' },
        reserved: { accountId, kind: 'cash_reserved' },
        asset: 'BRL',
        amount: amountCentavos,
      }
    : {
        free: { accountId, kind: 'holding' },
        reserved: { accountId, kind: 'holding_reserved' },
        asset,
        amount: quantity,
      }
}

/** Sets aside what the order may cost. */
export function reservation(order: Order): Movement {
  const { free, reserved, asset, amount } = reserveOf(order)
  return { orderId: order.orderId, reason: 'reservation', asset, amount, from: free, to: reserved }
}

/** The order will never fill: all that was reserved is free again. */
export function compensation(order: Order): readonly Movement[] {
  return release(order, reserveOf(order).amount)
}

/** The exchange filled the order, or a part of it: paid, delivered, and what was not needed is free again. */
export function settlement(order: Order, fill: Fill): readonly Movement[] {
  const { orderId, accountId, asset, side } = order
  const { reserved, amount } = reserveOf(order)
  const money = moneyOf(order, fill)
  const gained: Pocket = { accountId, kind: side === 'BUY' ? 'holding' : 'cash' }
  const cash = { orderId, reason: 'payment', asset: 'BRL', amount: money } as const
  const shares = { orderId, reason: 'delivery', asset, amount: fill.quantity } as const
  const legs: readonly Movement[] =
    side === 'BUY'
      ? [
          { ...cash, from: reserved, to: 'market' },
          { ...shares, from: 'market', to: gained },
        ]
      : [
          { ...shares, from: reserved, to: 'market' },
          { ...cash, from: 'market', to: gained },
        ]
  const unused = amount - (side === 'BUY' ? money : fill.quantity)
  // A sale of a few millionths may bring less than a centavo.
  return [...legs.filter((leg) => leg.amount > 0), ...release(order, unused)]
}

/** What a fill costs or brings. */
export function moneyOf({ side }: Pick<Order, 'side'>, { quantity, priceCentavos }: Fill): Centavos {
  return side === 'BUY' ? costOf(quantity, priceCentavos) : proceedsOf(quantity, priceCentavos)
}

function release(order: Order, amount: number): readonly Movement[] {
  const { free, reserved, asset } = reserveOf(order)
  return amount === 0 ? [] : [{ orderId: order.orderId, reason: 'release', asset, amount, from: reserved, to: free }]
}
