import { sql } from 'kysely'
import type { Tx } from '../database/database.ts'
import type { Centavos, Quantity } from '../money.ts'
import type { Side } from '../orders/order.ts'

/** What the shares of one asset cost an account, and what sales brought beyond their cost. */
export interface Position {
  readonly quantity: Quantity
  readonly costCentavos: Centavos
  readonly realizedCentavos: Centavos
}

/** A trade as it changes a position. */
export interface Trade {
  readonly accountId: string
  readonly asset: string
  readonly side: Side
  readonly quantity: Quantity
  readonly moneyCentavos: Centavos
}

const nothing: Position = { quantity: 0, costCentavos: 0, realizedCentavos: 0 }

/** Pure: a purchase adds to the cost; a sale takes the average cost of what it sells, and the rest is profit or loss. */
export function afterTrade(position: Position, { side, quantity, moneyCentavos }: Trade): Position {
  if (side === 'BUY')
    return {
      ...position,
      quantity: position.quantity + quantity,
      costCentavos: position.costCentavos + moneyCentavos,
    }
  const left = Math.max(0, position.quantity - quantity)
  // By BigInt: quantity times cost may pass 2^53. A position sold to nothing costs nothing.
  const costOfSold =
    left === 0
      ? position.costCentavos
      : Number((BigInt(position.costCentavos) * BigInt(quantity)) / BigInt(position.quantity))
  return {
    quantity: left,
    costCentavos: position.costCentavos - costOfSold,
    realizedCentavos: position.realizedCentavos + moneyCentavos - costOfSold,
  }
}

/** Applies trades in the order given. The accounts must be locked. */
export async function applyTrades(tx: Tx, trades: readonly Trade[]): Promise<void> {
  if (trades.length === 0) return
  const keyOf = (accountId: string, asset: string): string => `${accountId} ${asset}`
  const { rows } = await sql<{ account_id: string; asset: string } & Position>`
    select account_id, asset, quantity, cost_centavos as "costCentavos", realized_centavos as "realizedCentavos"
    from positions where (account_id, asset) in (
      select * from unnest(${trades.map(({ accountId }) => accountId)}::text[], ${trades.map(({ asset }) => asset)}::text[]))`.execute(
    tx,
  )
  const positions = new Map<string, Position>(rows.map((row) => [keyOf(row.account_id, row.asset), row]))
  for (const trade of trades) {
    const key = keyOf(trade.accountId, trade.asset)
    positions.set(key, afterTrade(positions.get(key) ?? nothing, trade))
  }
  const changed = [...new Map(trades.map((trade) => [keyOf(trade.accountId, trade.asset), trade]))].map(
    ([key, { accountId, asset }]) => {
      const { quantity, costCentavos, realizedCentavos } = positions.get(key) ?? nothing
      return { accountId, asset, quantity, costCentavos, realizedCentavos }
    },
  )
  await sql`
    insert into positions (account_id, asset, quantity, cost_centavos, realized_centavos)
    select * from json_to_recordset(${JSON.stringify(changed)}::json) as given (
      "accountId" text, asset text, quantity bigint, "costCentavos" bigint, "realizedCentavos" bigint)
    on conflict (account_id, asset) do update set
      quantity = excluded.quantity, cost_centavos = excluded.cost_centavos, realized_centavos = excluded.realized_centavos`.execute(
    tx,
  )
}
