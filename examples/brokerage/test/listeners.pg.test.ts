import { createInbox } from '@malote/idempotency'
import type { DeliveryHandler, ReceivedMessage } from '@malote/outbox-core'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { countOrder } from '../src/listeners/count-order.ts'
import { notifyCustomer } from '../src/listeners/notify-customer.ts'
import { projectOrder, rebuildViews } from '../src/listeners/project-order.ts'
import { raiseAlert } from '../src/listeners/raise-alert.ts'
import { recordEvent } from '../src/listeners/record-event.ts'
import { tellListeners } from '../src/listeners/tell-listeners.ts'
import { type ApplyOnce, createApplyOnce } from '../src/messaging/apply-once.ts'
import { createWorkbench, delivery, fillingExchange, type Workbench } from './workbench.ts'

let bench: Workbench
beforeAll(async () => {
  bench = await createWorkbench(inject('postgresUrl'))
})
afterAll(() => bench.dispose())

const listener = (name: string, create: (applyOnce: ApplyOnce) => DeliveryHandler) => {
  const handler = create(createApplyOnce(bench.pool, createInbox(), name))
  return async (...messages: readonly ReceivedMessage[]) => {
    for (const message of messages) await handler(delivery(message))
  }
}
const all = (applyOnce: ApplyOnce) =>
  tellListeners(applyOnce, [projectOrder, notifyCustomer(false), recordEvent, countOrder, raiseAlert])
async function settledOrder() {
  const order = await bench.place(bench.nextAccount())
  const accepted = await bench.messageOf(order, 'order-requests')
  await bench.pursue(order, fillingExchange)
  await bench.close(order)
  return { order, accepted, settled: await bench.messageOf(order, 'order-results') }
}
const rows = async (text: string, values: readonly unknown[] = []) => (await bench.pool.query(text, [...values])).rows

async function makeRich(...accountIds: readonly string[]): Promise<void> {
  await bench.pool.query(
    'update accounts set order_limit_centavos = 20000000, daily_limit_centavos = 20000000 where account_id = any($1)',
    [accountIds],
  )
  await bench.pool.query(
    `insert into ledger_movements (reason, asset, amount, from_kind, to_account, to_kind)
     select 'opening', 'BRL', 20000000, 'market', account_id, 'cash' from unnest($1::text[]) as account_id`,
    [accountIds],
  )
}

describe('a listener', () => {
  it('of compliance raises one alert for an order above R$ 100,000, and hears of no smaller one', async () => {
    const [atLimit, above] = [bench.nextAccount(), bench.nextAccount()]
    await makeRich(atLimit, above)
    const small = await bench.place(atLimit, 'BUY', 10_000_000)
    const large = await bench.place(above, 'BUY', 10_000_001)
    const told = await bench.messageOf(large, 'order-reports')

    await listener('listeners', all)(told, told)

    expect(await rows('select order_id, amount_centavos from compliance_alerts')).toEqual([
      { order_id: large.orderId, amount_centavos: 10_000_001 },
    ])
    await expect(bench.messageOf(small, 'order-reports')).rejects.toThrow('has no message in order-reports')
  })

  it('notifies, counts and records each message once, however often it comes', async () => {
    const { order, settled } = await settledOrder()

    await listener('listeners', all)(settled, settled)

    expect(await rows('select account_id from notifications')).toEqual([{ account_id: order.accountId }])
    expect(await rows(`select orders_settled, bought_centavos from asset_reports where asset = 'PETR4'`)).toEqual([
      { orders_settled: 1, bought_centavos: 100_000 },
    ])
    expect(await rows('select event from audit_entries where order_id = $1', [order.orderId])).toEqual([
      { event: 'order.settled' },
    ])
  })

  it('of the query side lets no late event overwrite a newer one, and a rebuild makes the same rows', async () => {
    const { order, accepted, settled } = await settledOrder()
    await listener('listeners', all)(settled, accepted)
    const view = () =>
      rows('select state, version, filled_quantity, fill_price_centavos from order_views where order_id = $1', [
        order.orderId,
      ])
    const projected = await view()

    await rebuildViews(bench.db)

    expect(projected).toEqual([
      { state: 'SETTLED', version: 5, filled_quantity: order.quantity, fill_price_centavos: order.limitPriceCentavos },
    ])
    expect(await view()).toEqual(projected)
  })
})
