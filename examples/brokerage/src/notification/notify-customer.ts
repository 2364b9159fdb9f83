import { type Delivery, UnknownTypeError } from '@malote/outbox-core'
import type { AppliedOnce } from '../messaging/applied-once.ts'
import { formatBrl } from '../money.ts'
import { orderEvent, type OrderEvent } from '../orders/order-events.ts'

const texts: Readonly<Record<string, (order: OrderEvent) => string>> = {
  'order.settled': (order) => `Your ${describe(order)} was filled.`,
  'order.compensated': (order) => `Your ${describe(order)} was not filled (${order.reason ?? 'no reason given'}).`,
  'order.cancelled': (order) => `Your ${describe(order)} was cancelled.`,
}

/** Tells the customer how an order ended. The "e-mail" is a row, so a message applied twice would be a second e-mail. */
export function notifyCustomer(appliedOnce: AppliedOnce): (delivery: Delivery) => Promise<void> {
  return async ({ message }) => {
    const text = texts[message.type]
    if (text === undefined) throw new UnknownTypeError(message.type)
    const order = orderEvent.parse(message.json())
    await appliedOnce(message, async (tx) => {
      await tx
        .insertInto('notifications')
        .values({ account_id: order.accountId, order_id: order.orderId, text: text(order) })
        .execute()
    })
  }
}

function describe({ side, asset, amountCentavos }: OrderEvent): string {
  return `${side === 'BUY' ? 'purchase' : 'sale'} of ${formatBrl(amountCentavos)} in ${asset}`
}
