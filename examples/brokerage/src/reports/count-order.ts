import { type Delivery, UnknownTypeError } from '@malote/outbox-core'
import type { AppliedOnce } from '../messaging/applied-once.ts'
import { orderEvent, type OrderEvent } from '../orders/order-events.ts'

/** Adds a finished order to its asset's totals. Adding is not repeatable: without the inbox a redelivery would count twice. */
export function countOrder(appliedOnce: AppliedOnce): (delivery: Delivery) => Promise<void> {
  return async ({ message }) => {
    const { type } = message
    if (type !== 'order.settled' && type !== 'order.compensated' && type !== 'order.cancelled')
      throw new UnknownTypeError(type)
    const order = orderEvent.parse(message.json())
    await appliedOnce(message, async (tx) => {
      const counted = countsOf(order, type === 'order.settled')
      await tx
        .insertInto('asset_reports')
        .values({ asset: order.asset, ...counted })
        .onConflict((conflict) =>
          conflict.column('asset').doUpdateSet((row) => ({
            orders_settled: row('asset_reports.orders_settled', '+', counted.orders_settled),
            orders_undone: row('asset_reports.orders_undone', '+', counted.orders_undone),
            bought_centavos: row('asset_reports.bought_centavos', '+', counted.bought_centavos),
            sold_centavos: row('asset_reports.sold_centavos', '+', counted.sold_centavos),
          })),
        )
        .execute()
    })
  }
}

function countsOf(order: OrderEvent, settled: boolean) {
  return {
    orders_settled: settled ? 1 : 0,
    orders_undone: settled ? 0 : 1,
    bought_centavos: settled && order.side === 'BUY' ? order.amountCentavos : 0,
    sold_centavos: settled && order.side === 'SELL' ? order.amountCentavos : 0,
  }
}
