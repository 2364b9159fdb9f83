import type { Insertable } from 'kysely'
import type { Tables } from '../database/database.ts'
import { moneyOf } from '../balances/movements.ts'
import { type Listener, resultsOf, type Told } from './tell-listeners.ts'

type Counts = Insertable<Tables['asset_reports']>

/** Adds finished orders to their assets' totals. Adding is not repeatable: without the inbox a redelivery would count twice. */
export const countOrder: Listener = async (tx, told) => {
  const counts = resultsOf(told).map(countsOf)
  if (counts.length === 0) return
  await tx
    .insertInto('asset_reports')
    .values(totals(counts))
    .onConflict((conflict) =>
      conflict.column('asset').doUpdateSet((row) => ({
        orders_settled: row('asset_reports.orders_settled', '+', row.ref('excluded.orders_settled')),
        orders_undone: row('asset_reports.orders_undone', '+', row.ref('excluded.orders_undone')),
        bought_centavos: row('asset_reports.bought_centavos', '+', row.ref('excluded.bought_centavos')),
        sold_centavos: row('asset_reports.sold_centavos', '+', row.ref('excluded.sold_centavos')),
      })),
    )
    .execute()
}

function countsOf({ type, order }: Told): Counts {
  const { asset, side, filledQuantity, fillPriceCentavos } = order
  const settled = type === 'order.settled'
  const traded =
    settled && filledQuantity !== null && fillPriceCentavos !== null
      ? moneyOf(order, { quantity: filledQuantity, priceCentavos: fillPriceCentavos })
      : 0
  return {
    asset,
    orders_settled: settled ? 1 : 0,
    orders_undone: ['order.compensated', 'order.cancelled'].includes(type) ? 1 : 0,
    bought_centavos: side === 'BUY' ? traded : 0,
    sold_centavos: side === 'SELL' ? traded : 0,
  }
}

/** One row per asset, in one sequence for all, so that two batches cannot wait for each other. */
function totals(counts: readonly Counts[]): Counts[] {
  const sum = (all: readonly Counts[], of: (one: Counts) => number): number =>
    all.reduce((total, one) => total + of(one), 0)
  return [...Map.groupBy(counts, ({ asset }) => asset)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([asset, all]) => ({
      asset,
      orders_settled: sum(all, (one) => one.orders_settled),
      orders_undone: sum(all, (one) => one.orders_undone),
      bought_centavos: sum(all, (one) => one.bought_centavos),
      sold_centavos: sum(all, (one) => one.sold_centavos),
    }))
}
