import { sql } from 'kysely'
import { cpfOf, createCpfCipher } from '../accounts/cpf.ts'
import { hashPassword } from '../accounts/password.ts'
import { hashToken } from '../api/bearer.ts'
import { listedAssets, openingPrices } from '../b3/behaviour.ts'
import { lockAccounts, post } from '../balances/ledger.ts'
import { applyTrades } from '../balances/positions.ts'
import type { Database, Tx } from '../database/database.ts'
import { type Centavos, costOf, oneShare, type Quantity } from '../money.ts'

/** A customer of the demo. */
export interface SeedAccount {
  readonly accountId: string
  /** Opens the account for ever and guards nothing but this demo. */
  readonly token: string
  readonly role?: 'USER' | 'ADMIN'
  readonly cashCentavos: Centavos
  /** Of each listed asset. */
  readonly holding: Quantity
  readonly orderLimitCentavos: Centavos
  readonly dailyLimitCentavos?: Centavos
  readonly ordersPerMinute?: number
}

/** Every demo account has this password. */
export const demoPassword = 'demo-password'
export const demoSecret = 'the demo keeps no secrets'

/**
 * Ten customers who can pay, one (ACC-011) who hardly can, one of the private class (ACC-012) who may place orders above
 * R$ 100,000, the account of `fake-token`, and an administrator.
 */
export const seedAccounts: readonly SeedAccount[] = [
  ...Array.from({ length: 12 }, (_, index): SeedAccount => {
    const accountId = `ACC-${String(index + 1).padStart(3, '0')}`
    const poor = index === 10
    return {
      accountId,
      token: `demo-token-${accountId.toLowerCase()}`,
      cashCentavos: poor ? 10_000 : 2_000_000_000,
      holding: poor ? 0 : 100_000 * oneShare,
      orderLimitCentavos: index === 11 ? 100_000_000 : 5_000_000,
    }
  }),
  {
    accountId: 'ACC-DEMO',
    token: 'fake-token',
    cashCentavos: 10_000_000,
    holding: 1_000 * oneShare,
    orderLimitCentavos: 5_000_000,
    ordersPerMinute: 1_000,
  },
  {
    accountId: 'ADMIN',
    token: 'fake-admin-token',
    role: 'ADMIN',
    cashCentavos: 0,
    holding: 0,
    orderLimitCentavos: 0,
  },
]

/** Accounts that orders are generated for. */
export const customerIds: readonly string[] = seedAccounts.slice(0, 10).map(({ accountId }) => accountId)
export const poorCustomerId = 'ACC-011'

/** Opens the accounts and their first balances, each in one transaction, and quotes every asset; what exists is left alone. */
export async function openAccounts(db: Database, accounts: readonly SeedAccount[] = seedAccounts): Promise<void> {
  const quotes = Object.entries(openingPrices).map(([asset, price]) => ({ asset, price }))
  await sql`
    insert into quotes (asset, price_centavos, average_centavos)
    select asset, price, price from json_to_recordset(${JSON.stringify(quotes)}::json) as given (asset text, price bigint)
    order by asset on conflict do nothing`.execute(db)
  const passwordHash = await hashPassword(demoPassword)
  const cipher = createCpfCipher(demoSecret)
  for (const [index, account] of accounts.entries()) {
    const cpf = cipher.encrypt(account.accountId, cpfOf(String(123_456_000 + index)))
    await db.transaction().execute((tx) => openAccount(tx, account, passwordHash, cpf))
  }
}

async function openAccount(tx: Tx, account: SeedAccount, passwordHash: Buffer, cpf: Buffer): Promise<void> {
  const { accountId, cashCentavos, holding } = account
  const { rows } = await sql`
    insert into accounts (account_id, holder, role, cpf_encrypted, password_hash, token_hash, order_limit_centavos,
      daily_limit_centavos, orders_per_minute)
    values (${accountId}, ${`Customer ${accountId}`}, ${account.role ?? 'USER'}, ${cpf}, ${passwordHash},
      ${hashToken(account.token)}, ${account.orderLimitCentavos}, ${account.dailyLimitCentavos ?? 900_000_000_000},
      ${account.ordersPerMinute ?? 1_000_000})
    on conflict do nothing returning account_id`.execute(tx)
  if (rows.length === 0) return
  await lockAccounts(tx, [accountId])
  const held = holding === 0 ? [] : listedAssets
  const opening = { orderId: null, reason: 'opening', from: 'market' } as const
  await post(tx, [
    ...(cashCentavos === 0
      ? []
      : [{ ...opening, asset: 'BRL', amount: cashCentavos, to: { accountId, kind: 'cash' as const } }]),
    ...held.map((asset) => ({ ...opening, asset, amount: holding, to: { accountId, kind: 'holding' as const } })),
  ])
  await applyTrades(
    tx,
    held.map((asset) => ({
      accountId,
      asset,
      side: 'BUY' as const,
      quantity: holding,
      moneyCentavos: costOf(holding, openingPrices[asset] ?? 1),
    })),
  )
}
