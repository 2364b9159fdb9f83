import { sql } from 'kysely'
import type { Database } from '../database/database.ts'
import type { OrderEvent } from '../orders/order-events.ts'
import type { Listener } from './tell-listeners.ts'

/**
 * Keeps the query side: one row for each order, as the last event described it. Events of an order may arrive in another
 * sequence than they happened; the version decides, so an old one changes nothing.
 */
export const projectOrder: Listener = async (tx, told) => {
  // The newest of each order, in one sequence for all, so that two batches cannot wait for each other.
  const newest = new Map<string, OrderEvent>()
  for (const { order } of told)
    if ((newest.get(order.orderId)?.version ?? 0) < order.version) newest.set(order.orderId, order)
  await sql`
    insert into order_views as view (order_id, account_id, asset, side, amount_centavos, quantity, filled_quantity,
      fill_price_centavos, state, reason, version, created_at, updated_at)
    select * from json_to_recordset(${JSON.stringify([...newest.values()])}::json) as given (
      "orderId" uuid, "accountId" text, asset text, side text, "amountCentavos" bigint, quantity bigint, "filledQuantity" bigint,
      "fillPriceCentavos" bigint, state text, reason text, version integer, "createdAt" timestamptz, "updatedAt" timestamptz)
    order by 1
    on conflict (order_id) do update set
      filled_quantity = excluded.filled_quantity, fill_price_centavos = excluded.fill_price_centavos, state = excluded.state,
      reason = excluded.reason, version = excluded.version, updated_at = excluded.updated_at
    where view.version < excluded.version`.execute(tx)
}

/**
 * Makes the query side anew from the history alone, in one transaction: readers see the old rows until they see the new ones.
 * Events that arrive meanwhile wait for it and then find rows that are at least as new.
 *
 * @returns how many orders there are
 */
export async function rebuildViews(db: Database): Promise<number> {
  return db.transaction().execute(async (tx) => {
    await sql`lock table order_views in share row exclusive mode`.execute(tx)
    await sql`delete from order_views`.execute(tx)
    const { numAffectedRows } = await sql`
      with facts as (
        select order_id, max(version) as version, min(happened_at) as created_at, max(happened_at) as updated_at,
          (array_agg(data order by version))[1] as first,
          (array_agg(state order by version desc))[1] as state,
          (array_agg(data ->> 'reason' order by version desc) filter (where data ->> 'reason' is not null))[1] as reason,
          max((data ->> 'filledQuantity')::bigint) as filled, max((data ->> 'fillPriceCentavos')::bigint) as price
        from order_history group by order_id
      )
      insert into order_views (order_id, account_id, asset, side, amount_centavos, quantity, filled_quantity,
        fill_price_centavos, state, reason, version, created_at, updated_at)
      select order_id, first ->> 'accountId', first ->> 'asset', first ->> 'side', (first ->> 'amountCentavos')::bigint,
        (first ->> 'quantity')::bigint, filled, price, state, reason, version, created_at, updated_at
      from facts`.execute(tx)
    return Number(numAffectedRows ?? 0)
  })
}
