import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { lockAccounts, type Movement, post } from '../src/balances/ledger.ts'
import type { Tx } from '../src/database/database.ts'
import { openAccounts } from '../src/demo/accounts.ts'
import { createWorkbench, type Workbench } from './workbench.ts'

let bench: Workbench
beforeAll(async () => {
  bench = await createWorkbench(inject('postgresUrl'))
})
afterAll(() => bench.dispose())

const inTransaction = <Result>(work: (tx: Tx) => Promise<Result>) => bench.db.transaction().execute(work)
let orders = 0
const newOrder = () => `00000000-0000-7000-8000-${String(++orders).padStart(12, '0')}`
const reserve = (accountId: string, amount: number, orderId = newOrder()): Movement => ({
  orderId,
  reason: 'reservation',
  asset: 'BRL',
  amount,
  from: { accountId, kind: 'cash' },
  to: { accountId, kind: 'cash_reserved' },
})
const count = async () => (await bench.pool.query('select count(*) from ledger_movements')).rows[0].count

describe('the ledger', () => {
  it('opens once, however often accounts are opened', async () => {
    const before = await count()

    await Promise.all([openAccounts(bench.db), openAccounts(bench.db)])
    const opened = await count()
    await openAccounts(bench.db)

    expect([opened > before, await count()]).toEqual([true, opened])
  })

  it('moves an amount from one pocket to the other', async () => {
    const accountId = bench.nextAccount()
    const before = await bench.balances(accountId)

    await inTransaction((tx) => post(tx, [reserve(accountId, 150)]))

    expect(await bench.balances(accountId)).toMatchObject({ cash: (before['cash'] ?? 0) - 150, cash_reserved: 150 })
  })

  it('posts many movements together, or none of them', async () => {
    const [rich, other] = [bench.nextAccount(), bench.nextAccount()]
    const before = await count()

    await inTransaction((tx) => post(tx, [reserve(rich, 100), reserve(rich, 200), reserve(other, 1)]))
    // Each alone is covered, both together are not.
    const tooMuch = inTransaction((tx) => post(tx, [reserve(other, 1), reserve(rich, 600_000), reserve(rich, 500_000)]))

    await expect(tooMuch).rejects.toMatchObject({ constraint: 'balance_is_not_negative' })
    expect([await count(), (await bench.balances(rich))['cash_reserved']]).toEqual([before + 3, 300])
  })

  it('makes each movement of an order once, whatever the code above it does', async () => {
    const accountId = bench.nextAccount()
    const orderId = newOrder()
    await inTransaction((tx) => post(tx, [reserve(accountId, 1, orderId)]))

    const again = inTransaction((tx) => post(tx, [reserve(accountId, 1, orderId)]))

    await expect(again).rejects.toMatchObject({ constraint: 'movement_of_order_is_made_once' })
  })

  it.each([0, -5])('refuses a movement of %i', async (amount) => {
    const posting = inTransaction((tx) => post(tx, [reserve(bench.nextAccount(), amount)]))

    await expect(posting).rejects.toMatchObject({ constraint: 'amount_is_positive' })
  })

  it.each(['ledger_movements', 'order_history'])('never changes a row of %s', async (table) => {
    await expect(bench.pool.query(`update ${table} set order_id = null`)).rejects.toMatchObject({ code: '23001' })
    await expect(bench.pool.query(`delete from ${table}`)).rejects.toMatchObject({ code: '23001' })
  })

  it('takes each amount once when many spend at the same time', async () => {
    const accountId = bench.nextAccount()
    const spend = () =>
      inTransaction(async (tx) => {
        await lockAccounts(tx, [accountId])
        await post(tx, [reserve(accountId, 300_000)])
      })

    const results = await Promise.allSettled(Array.from({ length: 8 }, spend))

    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
    expect(await bench.balances(accountId)).toMatchObject({ cash: 100_000, cash_reserved: 900_000 })
  })
})
