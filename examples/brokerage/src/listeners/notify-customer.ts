import { type StreamHandler, UnknownTypeError } from '@malote/outbox-core'
import { sql } from 'kysely'
import type { Tx } from '../database/database.ts'
import type { ApplyOnce } from '../messaging/apply-once.ts'
import { handleStreams } from '../messaging/handle-streams.ts'
import { formatBrl } from '../money.ts'
import { askForNotices, notice, type Notice, type OrderEvent, type OrderEventType } from '../orders/order-events.ts'
import type { Notifier } from './notifier.ts'
import type { Listener } from './tell-listeners.ts'

const texts: Readonly<Partial<Record<OrderEventType, (order: OrderEvent) => string>>> = {
  'order.settled': (order) => `Your ${describe(order)} was filled.`,
  'order.compensated': (order) => `Your ${describe(order)} was not filled (${order.reason ?? 'no reason given'}).`,
  'order.cancelled': (order) => `Your ${describe(order)} was cancelled.`,
  'order.undecided': (order) => `Your ${describe(order)} takes longer than usual. Somebody is looking after it.`,
}

/**
 * Tells the customer how an order ended. The row is what the customer sees on signing in; a message applied twice would be a second
 * one. Where there is a notifier, the row waits for it (`deliverNotice`): a row says that the customer was reached.
 */
export function notifyCustomer(hasNotifier: boolean): Listener {
  return async (tx, told) => {
    const notices = told.flatMap(({ type, order, trace }) => {
      const text = texts[type]?.(order)
      const { accountId, orderId } = order
      return text === undefined ? [] : [{ notice: { accountId, orderId, text }, trace }]
    })
    if (notices.length === 0) return
    if (hasNotifier) await askForNotices(tx, notices)
    else
      await keep(
        tx,
        notices.map((one) => one.notice),
      )
  }
}

/**
 * Has the notifier reach a customer, then keeps the row. It calls somebody else, whose outage must hold up neither audit nor compliance: so
 * it has a queue of its own.
 */
export function deliverNotice(applyOnce: ApplyOnce, notifier: Notifier | null): StreamHandler {
  return handleStreams(applyOnce<Notice>(keep), async ({ message, signal }) => {
    if (message.type !== 'notice.wanted') throw new UnknownTypeError(message.type)
    const wanted = notice.parse(message.json())
    await notifier?.send(message.id, wanted, signal)
    return wanted
  })
}

async function keep(tx: Tx, notices: readonly Notice[]): Promise<void> {
  await sql`
    insert into notifications (account_id, order_id, text)
    select "accountId", "orderId", text from json_to_recordset(${JSON.stringify(notices)}::json)
      as given ("accountId" text, "orderId" uuid, text text)`.execute(tx)
}

function describe({ side, asset, amountCentavos }: OrderEvent): string {
  return `${side === 'BUY' ? 'purchase' : 'sale'} of ${formatBrl(amountCentavos)} in ${asset}`
}
