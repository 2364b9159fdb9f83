import { type DeliveryHandler, UnknownTypeError } from '@malote/outbox-core'
import type { ApplyOnce } from '../messaging/apply-once.ts'
import { announce, orderEvent, type OrderEvent } from '../orders/order-events.ts'
import { mustAdvance } from '../orders/order-store.ts'
import { lockAccounts, transfer } from './ledger.ts'
import { compensation, settlement } from './movements.ts'

interface Ending {
  readonly order: OrderEvent
  readonly isFilled: boolean
}

/** Handles `order.filled` (settlement) and `order.rejected` (compensation): ledger, order, inbox and next messages in one commit. */
export function closeOrder(applyOnce: ApplyOnce): DeliveryHandler {
  const close = applyOnce<Ending>(async (tx, endings) => {
    await lockAccounts(
      tx,
      endings.map(({ order }) => order.accountId),
    )
    await transfer(
      tx,
      endings.map(({ order, isFilled }) => (isFilled ? settlement(order) : compensation(order))),
    )
    await mustAdvance(
      tx,
      endings.map(({ order, isFilled }) => ({ orderId: order.orderId, to: isFilled ? 'settled' : 'compensated' })),
    )
    await announce(
      tx,
      endings.map(({ order, isFilled }) =>
        isFilled ? { type: 'order.settled', order } : { type: 'order.compensated', order, reason: order.reason },
      ),
    )
  })
  return async (delivery) => {
    const { type } = delivery.message
    if (type !== 'order.filled' && type !== 'order.rejected') throw new UnknownTypeError(type)
    const order = orderEvent.parse(delivery.message.json())
    await close(delivery, { order, isFilled: type === 'order.filled' })
  }
}
