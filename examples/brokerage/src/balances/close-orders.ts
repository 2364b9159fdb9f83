import { type StreamHandler, UnknownTypeError } from '@malote/outbox-core'
import type { Tx } from '../database/database.ts'
import type { ApplyOnce } from '../messaging/apply-once.ts'
import { handleStreams } from '../messaging/handle-streams.ts'
import { announce, cancelTimeouts, orderEvent, type Traced } from '../orders/order-events.ts'
import { advance, type Cause, type StoredOrder } from '../orders/order-store.ts'
import type { Fill, Order, OrderState } from '../orders/order.ts'
import { lockAccounts, post } from './ledger.ts'
import { compensation, moneyOf, settlement } from './movements.ts'
import { applyTrades } from './positions.ts'

/** An order that has been decided and must now be settled, or its reservation given back. */
export interface Ending extends Cause, Traced {
  readonly order: Order & { readonly state: OrderState }
}

/**
 * The end of orders: state, history, ledger, positions and next messages, in the caller's transaction. `FILLED` is settled,
 * `COMPENSATING` compensated. An order that has been closed already is left alone.
 */
export async function closeOrders(tx: Tx, endings: readonly Ending[]): Promise<void> {
  if (endings.length === 0) return
  await lockAccounts(tx, [...new Set(endings.map(({ order }) => order.accountId))])
  const closed = await advance(
    tx,
    endings.map(({ order, causationId, actor }) => ({
      orderId: order.orderId,
      to: order.state === 'FILLED' ? 'SETTLED' : 'COMPENSATED',
      causationId,
      actor,
    })),
  )
  // In the order given, which for one account is the order in which its orders were decided.
  const orders = endings.flatMap(({ order }) => closed.get(order.orderId) ?? [])
  const fills = orders.flatMap((order) => (order.state === 'SETTLED' ? [{ order, fill: fillOf(order) }] : []))
  await post(
    tx,
    orders.flatMap((order) => (order.state === 'SETTLED' ? settlement(order, fillOf(order)) : compensation(order))),
  )
  await applyTrades(
    tx,
    fills.map(({ order, fill }) => ({ ...order, quantity: fill.quantity, moneyCentavos: moneyOf(order, fill) })),
  )
  await cancelTimeouts(
    tx,
    orders.map(({ orderId }) => orderId),
  )
  const traces = new Map(endings.map(({ order, trace }) => [order.orderId, trace]))
  await announce(
    tx,
    orders.map((order) => ({
      type: order.state === 'SETTLED' ? 'order.settled' : 'order.compensated',
      order,
      trace: traces.get(order.orderId),
    })),
  )
}

/** Handles `order.filled` (settlement) and `order.rejected` (compensation). */
export function closeOrder(applyOnce: ApplyOnce, actor: string): StreamHandler {
  return handleStreams(applyOnce<Ending>(closeOrders), ({ message }, trace) => {
    const { type, id } = message
    if (type !== 'order.filled' && type !== 'order.rejected') throw new UnknownTypeError(type)
    return { order: orderEvent.parse(message.json()), causationId: id, actor, trace }
  })
}

function fillOf({ orderId, filledQuantity, fillPriceCentavos }: StoredOrder): Fill {
  if (filledQuantity === null || fillPriceCentavos === null)
    throw new Error(`order ${orderId} is filled without a fill`)
  return { quantity: filledQuantity, priceCentavos: fillPriceCentavos }
}
