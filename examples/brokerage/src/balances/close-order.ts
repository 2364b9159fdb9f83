import { type Delivery, UnknownTypeError } from '@malote/outbox-core'
import type { AppliedOnce } from '../messaging/applied-once.ts'
import { announce, orderEvent } from '../orders/order-events.ts'
import { mustAdvance } from '../orders/order-store.ts'
import { lockAccount } from './ledger.ts'
import { compensate, settle } from './movements.ts'

/** Handles `order.filled` (settlement) and `order.rejected` (compensation): ledger, order, inbox and next messages in one commit. */
export function closeOrder(appliedOnce: AppliedOnce): (delivery: Delivery) => Promise<void> {
  return async ({ message }) => {
    const { type } = message
    if (type !== 'order.filled' && type !== 'order.rejected') throw new UnknownTypeError(type)
    const order = orderEvent.parse(message.json())
    await appliedOnce(message, async (tx) => {
      await lockAccount(tx, order.accountId)
      if (type === 'order.filled') {
        await settle(tx, order)
        await mustAdvance(tx, order.orderId, 'settled')
        await announce(tx, 'order.settled', order)
      } else {
        await compensate(tx, order)
        await mustAdvance(tx, order.orderId, 'compensated')
        await announce(tx, 'order.compensated', order, order.reason)
      }
    })
  }
}
