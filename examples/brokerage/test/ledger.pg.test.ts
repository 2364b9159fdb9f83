import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import {
  InsufficientBalance,
  type LedgerAccount,
  lockAccount,
  type Transfer,
  transfer,
} from '../src/balances/ledger.ts'
import { createDatabase, createPool, type Database, type Tx } from '../src/database/database.ts'
import { migrateAll } from '../src/database/migrate.ts'
import { openAccounts, seedAccounts } from '../src/demo/accounts.ts'

let server: TestDatabase
let pool: pg.Pool
let db: Database
const accountId = 'ACC-001'
const cash: LedgerAccount = { accountId, kind: 'cash', asset: 'BRL' }
const reserved: LedgerAccount = { accountId, kind: 'cash_reserved', asset: 'BRL' }
const orderId = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`

beforeAll(async () => {
  server = await createTestDatabase(inject('postgresUrl'))
  pool = createPool(server.url)
  db = createDatabase(pool)
  await migrateAll(pool)
  await openAccounts(db)
})
afterAll(async () => {
  await pool.end()
  await server.drop()
})

const inTransaction = <Result>(work: (tx: Tx) => Promise<Result>) => db.transaction().execute(work)
const balance = async (kind: string) =>
  (
    await pool.query('select balance_centavos from ledger_accounts where account_id = $1 and kind = $2', [
      accountId,
      kind,
    ])
  ).rows[0]?.balance_centavos ?? 0
const sumOf = async (column: string, table: string) =>
  (await pool.query(`select coalesce(sum(${column}), 0)::bigint as sum from ${table}`)).rows[0].sum

describe('the ledger', () => {
  it('opens once, however often accounts are opened, and sums to zero', async () => {
    await Promise.all([openAccounts(db), openAccounts(db)])

    expect(await balance('cash')).toBe(seedAccounts[0]?.cashCentavos)
    expect([
      await sumOf('amount_centavos', 'ledger_entries'),
      await sumOf('balance_centavos', 'ledger_accounts'),
    ]).toEqual([0, 0])
  })

  it('moves an amount from one account to the other', async () => {
    const before = await balance('cash')

    await inTransaction((tx) =>
      transfer(tx, [{ from: cash, to: reserved, amountCentavos: 150, reason: 'reservation', orderId: orderId(1) }]),
    )

    expect([await balance('cash'), await balance('cash_reserved')]).toEqual([before - 150, 150])
  })

  it('refuses to take more than there is, and posts nothing', async () => {
    const attempt = inTransaction((tx) =>
      transfer(tx, [{ from: reserved, to: cash, amountCentavos: 151, reason: 'compensation', orderId: orderId(1) }]),
    )

    await expect(attempt).rejects.toBeInstanceOf(InsufficientBalance)
    expect(await balance('cash_reserved')).toBe(150)
  })

  it('refuses to close an order twice, whatever the code above it does', async () => {
    const close = (reason: 'settlement' | 'compensation') =>
      inTransaction((tx) =>
        transfer(tx, [{ from: cash, to: reserved, amountCentavos: 1, reason, orderId: orderId(2) }]),
      )
    await close('settlement')

    await expect(close('settlement')).rejects.toMatchObject({ constraint: 'order_is_closed_once' })
    await expect(close('compensation')).rejects.toMatchObject({ constraint: 'order_is_closed_once' })
  })

  it('refuses, at commit, a transaction whose entries do not sum to zero', async () => {
    const unbalanced = pool.query(
      `with posted as (insert into ledger_transactions (order_id, reason) values ($1, 'reservation') returning transaction_id)
       insert into ledger_entries (transaction_id, account_id, kind, asset, amount_centavos)
       select transaction_id, $2, 'cash', 'BRL', 5 from posted`,
      [orderId(3), accountId],
    )

    await expect(unbalanced).rejects.toMatchObject({ constraint: 'ledger_transaction_sums_to_zero' })
  })

  it('refuses a transaction without entries, and an entry added later to a finished one', async () => {
    const empty = pool.query(`insert into ledger_transactions (order_id, reason) values ($1, 'reservation')`, [
      orderId(4),
    ])
    const later = pool.query(
      `insert into ledger_entries (transaction_id, account_id, kind, asset, amount_centavos)
       select transaction_id, $1, 'cash', 'BRL', 5 from ledger_transactions limit 1`,
      [accountId],
    )

    const refusal = { constraint: 'ledger_transaction_sums_to_zero' }
    await Promise.all([
      expect(empty).rejects.toMatchObject(refusal),
      expect(later).rejects.toMatchObject(refusal), // Whichever comes first: neither waits unwatched for the other.
    ])
  })

  it('never changes an entry', async () => {
    await expect(pool.query('update ledger_entries set amount_centavos = 0')).rejects.toMatchObject({ code: '23001' })
    await expect(pool.query('delete from ledger_entries')).rejects.toMatchObject({ code: '23001' })
  })

  it('posts many transfers together, or none of them', async () => {
    const rich = 'ACC-002'
    const of = (accountId: string, amountCentavos: number, n: number): Transfer => ({
      from: { accountId, kind: 'cash', asset: 'BRL' },
      to: { accountId, kind: 'cash_reserved', asset: 'BRL' },
      amountCentavos,
      reason: 'reservation',
      orderId: orderId(200 + n),
    })
    const before = await sumOf('balance_centavos', `ledger_accounts where account_id = '${rich}' and kind = 'cash'`)
    const posted = await sumOf('1', 'ledger_transactions')

    await inTransaction((tx) => transfer(tx, [of(rich, 100, 0), of(rich, 200, 1), of(accountId, 1, 2)]))
    // Each alone is covered, both together are not.
    const tooMuch = inTransaction((tx) =>
      transfer(tx, [of(accountId, 1, 3), of(rich, before - 400, 4), of(rich, 200, 5)]),
    )

    await expect(tooMuch).rejects.toThrow('account ACC-002 has too little cash in BRL')
    expect(await sumOf('1', 'ledger_transactions')).toBe(posted + 3)
    expect(await sumOf('balance_centavos', `ledger_accounts where account_id = '${rich}' and kind = 'cash'`)).toBe(
      before - 300,
    )
    expect(await sumOf('amount_centavos', 'ledger_entries')).toBe(0)
  })

  it('takes each amount once when many spend at the same time', async () => {
    const poor = 'ACC-011'
    const spend = (n: number) =>
      inTransaction(async (tx) => {
        await lockAccount(tx, poor)
        const spent: Transfer = {
          from: { accountId: poor, kind: 'cash', asset: 'BRL' },
          to: { accountId: poor, kind: 'cash_reserved', asset: 'BRL' },
          amountCentavos: 3_000,
          reason: 'reservation',
          orderId: orderId(100 + n),
        }
        await transfer(tx, [spent])
      })

    const results = await Promise.allSettled(Array.from({ length: 8 }, (_, n) => spend(n)))

    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
    expect(await sumOf('balance_centavos', `ledger_accounts where account_id = '${poor}'`)).toBe(10_000)
  })
})
