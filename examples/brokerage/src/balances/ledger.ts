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
 * Takes the account's row lock until the transaction ends. Everything that moves an account's money or adds messages under
 * its key does this first: the outbox keeps the order in which messages of one key are added, and this lock makes
 * that the order of commits.
 */
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
 * Posts one transaction of two entries. The account must be locked (`lockAccount`).
 *
 * @throws InsufficientBalance when `from` would fall below zero
 */
export async function transfer(tx: Tx, { from, to, amountCentavos, reason, orderId }: Transfer): Promise<void> {
  if (from.kind !== 'opening' && (await balanceOf(tx, from)) < amountCentavos)
    throw new InsufficientBalance(`account ${from.accountId} has too little ${from.kind} in ${from.asset}`)
  await tx
    .insertInto('ledger_accounts')
    .values([ledgerRow(from), ledgerRow(to)])
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  // One statement, so that an entry never exists without its counterpart.
  await sql`
    with posted as (
      insert into ledger_transactions (order_id, reason) values (${orderId}, ${reason}) returning transaction_id
    )
    insert into ledger_entries (transaction_id, account_id, kind, asset, amount_centavos)
    select posted.transaction_id, entry.account_id, entry.kind, entry.asset, entry.amount
    from posted
    cross join (values
      (${from.accountId}, ${from.kind}, ${from.asset}, ${-amountCentavos}::bigint),
      (${to.accountId}, ${to.kind}, ${to.asset}, ${amountCentavos}::bigint)
    ) as entry (account_id, kind, asset, amount)`.execute(tx)
}

async function balanceOf(tx: Tx, { accountId, kind, asset }: LedgerAccount): Promise<Centavos> {
  const row = await tx
    .selectFrom('ledger_accounts')
    .select('balance_centavos')
    .where('account_id', '=', accountId)
    .where('kind', '=', kind)
    .where('asset', '=', asset)
    .executeTakeFirst()
  return row?.balance_centavos ?? 0
}

function ledgerRow({ accountId, kind, asset }: LedgerAccount): { account_id: string; kind: LedgerKind; asset: string } {
  return { account_id: accountId, kind, asset }
}
