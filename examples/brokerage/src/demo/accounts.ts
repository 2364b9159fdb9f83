import { hashToken } from '../api/bearer.ts'
import { listedAssets } from '../b3/behaviour.ts'
import { type Transfer, transfer } from '../balances/ledger.ts'
import type { Database, Tx } from '../database/database.ts'
import type { Centavos } from '../money.ts'

/** A customer of the demo. */
export interface SeedAccount {
  readonly accountId: string
  readonly token: string
  readonly cashCentavos: Centavos
  /** Of each listed asset. */
  readonly holdingCentavos: Centavos
  readonly orderLimitCentavos: Centavos
}

const houseId = 'HOUSE'

/** Ten customers who can pay and one, ACC-011, who hardly can. Their tokens guard nothing but this demo. */
export const seedAccounts: readonly SeedAccount[] = Array.from({ length: 11 }, (_, index) => {
  const accountId = `ACC-${String(index + 1).padStart(3, '0')}`
  const poor = index === 10
  return {
    accountId,
    token: `demo-token-${accountId.toLowerCase()}`,
    cashCentavos: poor ? 10_000 : 2_000_000_000,
    holdingCentavos: poor ? 0 : 200_000_000,
    orderLimitCentavos: 5_000_000,
  }
})

/** Opens the accounts and their first balances, each in one transaction; those that exist are left alone. */
export async function openAccounts(db: Database, accounts: readonly SeedAccount[] = seedAccounts): Promise<void> {
  await db.transaction().execute((tx) => insertAccount(tx, { accountId: houseId, holder: 'House' }))
  for (const account of accounts) await db.transaction().execute((tx) => openAccount(tx, account))
}

async function openAccount(tx: Tx, account: SeedAccount): Promise<void> {
  const { accountId, token, orderLimitCentavos } = account
  const isNew = await insertAccount(tx, { accountId, holder: `Customer ${accountId}`, token, orderLimitCentavos })
  if (!isNew) return
  await deposit(tx, accountId, 'BRL', account.cashCentavos)
  for (const asset of listedAssets) await deposit(tx, accountId, asset, account.holdingCentavos)
}

async function insertAccount(
  tx: Tx,
  account: { accountId: string; holder: string; token?: string; orderLimitCentavos?: Centavos },
): Promise<boolean> {
  const inserted = await tx
    .insertInto('accounts')
    .values({
      account_id: account.accountId,
      holder: account.holder,
      token_hash: account.token === undefined ? null : hashToken(account.token),
      order_limit_centavos: account.orderLimitCentavos ?? 0,
    })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst()
  return (inserted.numInsertedOrUpdatedRows ?? 0n) > 0n
}

async function deposit(tx: Tx, accountId: string, asset: string, amountCentavos: Centavos): Promise<void> {
  if (amountCentavos === 0) return
  const opening: Transfer = {
    from: { accountId: houseId, kind: 'opening', asset: 'BRL' },
    to: { accountId, kind: asset === 'BRL' ? 'cash' : 'holding', asset },
    amountCentavos,
    reason: 'opening',
    orderId: null,
  }
  await transfer(tx, [opening])
}
