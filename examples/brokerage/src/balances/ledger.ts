import { sql } from 'kysely'
import type { LedgerKind, LedgerReason, Tx } from '../database/database.ts'
import type { Centavos } from '../money.ts'

/** One pocket of an account: its free cash, its reserved PETR4, and so on. */
export interface LedgerAccount {
  readonly accountId: string
  readonly kind: LedgerKind
  readonly asset: string
}

export interface Transfer {
  readonly from: LedgerAccount
  readonly to: LedgerAccount
  readonly amountCentavos: Centavos
  readonly reason: LedgerReason
  readonly orderId: string | null
}

/** The account has less than the transfer takes. Nothing was posted. */
export class InsufficientBalance extends Error {
  override readonly name = 'InsufficientBalance'
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

/** `lockAccounts` for one. @returns what the account is allowed */
export async function lockAccount(tx: Tx, accountId: string): Promise<{ orderLimitCentavos: Centavos }> {
  const account = await tx
    .selectFrom('accounts')
    .select('order_limit_centavos')
    .where('account_id', '=', accountId)
    .forNoKeyUpdate()
    .executeTakeFirstOrThrow()
  return { orderLimitCentavos: account.order_limit_centavos }
}

/**
 * Posts transactions of two entries each, all or none. The accounts must be locked (`lockAccounts`).
 *
 * One statement: an entry never exists without its counterpart, and a hundred transfers cost little more than one.
 *
 * @throws InsufficientBalance when one of the `from` would fall below zero
 */
export async function transfer(tx: Tx, transfers: readonly Transfer[]): Promise<void> {
  const column = <Value>(of: (transfer: Transfer) => Value): Value[] => transfers.map(of)
  const { rows } = await sql<{ account_id: string; kind: LedgerKind; asset: string }>`
    with moved as materialized (
      select gen_random_uuid() as transaction_id, given.*
      from unnest(
        ${column(({ orderId }) => orderId)}::uuid[], ${column(({ reason }) => reason)}::text[],
        ${column(({ amountCentavos }) => amountCentavos)}::bigint[],
        ${column(({ from }) => from.accountId)}::text[], ${column(({ from }) => from.kind)}::text[],
        ${column(({ from }) => from.asset)}::text[],
        ${column(({ to }) => to.accountId)}::text[], ${column(({ to }) => to.kind)}::text[],
        ${column(({ to }) => to.asset)}::text[]
      ) as given (order_id, reason, amount, from_account, from_kind, from_asset, to_account, to_kind, to_asset)
    ),
    short as materialized (
      select from_account as account_id, from_kind as kind, from_asset as asset
      from moved
      left join ledger_accounts on (account_id, kind, asset) = (from_account, from_kind, from_asset)
      where from_kind <> 'opening'
      group by from_account, from_kind, from_asset, balance_centavos
      having coalesce(balance_centavos, 0) < sum(amount)
    ),
    entries as materialized (
      select transaction_id, side.* from moved
      cross join lateral (values
        (from_account, from_kind, from_asset, -amount),
        (to_account, to_kind, to_asset, amount)
      ) as side (account_id, kind, asset, amount)
      where not exists (select from short)
    ),
    opened as (
      insert into ledger_accounts (account_id, kind, asset) select distinct account_id, kind, asset from entries
      on conflict do nothing
    ),
    posted as (
      insert into ledger_transactions (transaction_id, order_id, reason) select transaction_id, order_id, reason from moved
      where not exists (select from short)
    ),
    written as (
      insert into ledger_entries (transaction_id, account_id, kind, asset, amount_centavos)
      select transaction_id, account_id, kind, asset, amount from entries
    )
    select account_id, kind, asset from short`.execute(tx)
  const [first] = rows
  if (first !== undefined)
    throw new InsufficientBalance(`account ${first.account_id} has too little ${first.kind} in ${first.asset}`)
}
