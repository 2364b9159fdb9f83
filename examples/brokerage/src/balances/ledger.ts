import { sql } from 'kysely'
import type { Database, Tx } from '../database/database.ts'

export type PocketKind = 'cash' | 'cash_reserved' | 'holding' | 'holding_reserved'

/** One pocket of an account: its free cash, its reserved PETR4, and so on. Or the market: the other side of every trade. */
export type Pocket = { readonly accountId: string; readonly kind: PocketKind } | 'market'

export type MovementReason = 'opening' | 'reservation' | 'payment' | 'delivery' | 'release'

/** What one pocket gives and another gets. */
export interface Movement {
  readonly orderId: string | null
  readonly reason: MovementReason
  /** `BRL`, in centavos, or a ticker, in millionths of a share. */
  readonly asset: string
  readonly amount: number
  readonly from: Pocket
  readonly to: Pocket
}

/**
 * Takes the accounts' row locks until the transaction ends. Everything that moves an account's money or adds messages under
 * its key does this first: the outbox keeps the order in which messages of one key are added, and this lock makes
 * that the order of commits. Always in one sequence, so that two batches cannot wait for each other.
 */
export async function lockAccounts(tx: Tx, accountIds: readonly string[]): Promise<void> {
  await sql`select from accounts where account_id = any(${accountIds}::text[]) order by account_id for no key update`.execute(
    tx,
  )
}

/**
 * Posts movements, all or none. The accounts must be locked (`lockAccounts`). A trigger moves the balances.
 *
 * @throws DatabaseError 23514 when a pocket would fall below zero, 23505 when an order's movement was made before
 */
export async function post(tx: Tx, movements: readonly Movement[]): Promise<void> {
  if (movements.length === 0) return
  const rows = movements.map(({ orderId, reason, asset, amount, from, to }) => ({
    order_id: orderId,
    reason,
    asset,
    amount,
    from_account: from === 'market' ? null : from.accountId,
    from_kind: from === 'market' ? from : from.kind,
    to_account: to === 'market' ? null : to.accountId,
    to_kind: to === 'market' ? to : to.kind,
  }))
  await sql`
    insert into ledger_movements (order_id, reason, asset, amount, from_account, from_kind, to_account, to_kind)
    select * from json_to_recordset(${JSON.stringify(rows)}::json) as given (
      order_id uuid, reason text, asset text, amount bigint, from_account text, from_kind text, to_account text, to_kind text)`.execute(
    tx,
  )
}

/** What an order has moved, oldest first, as it is shown. */
export async function movementsOf(db: Database, orderId: string): Promise<readonly Record<string, unknown>[]> {
  const { rows } = await sql<Record<string, unknown>>`
    select reason, asset, amount, from_kind as "from", to_kind as "to", posted_at as "postedAt"
    from ledger_movements where order_id = ${orderId}::uuid order by movement_id`.execute(db)
  return rows
}
