import { uuidv7 } from '@malote/outbox-core'
import { sql } from 'kysely'
import { post } from '../balances/ledger.ts'
import { reservation } from '../balances/movements.ts'
import type { Tx } from '../database/database.ts'
import { type Centavos, maxAmountCentavos, proceedsOf, type Quantity, quantityFor } from '../money.ts'
import { type AccountUse, antifraud, type AntifraudRule, mustBeReported } from './antifraud.ts'
import { announce, type TraceHeaders } from './order-events.ts'
import { insertOrders, type NewOrder, type StoredOrder } from './order-store.ts'
import type { Side } from './order.ts'

export interface OrderRequest {
  readonly accountId: string
  readonly asset: string
  readonly side: Side
  /** How much to spend or to sell for; null when `quantity` is given. */
  readonly amountCentavos: Centavos | null
  readonly quantity: Quantity | null
  readonly correlationId: string
  readonly requestId: string
  /** The request's own trace: requests that share a transaction have one each. */
  readonly trace?: TraceHeaders
}

export type Refusal = 'ANTIFRAUD_REFUSED' | 'INSUFFICIENT_BALANCE' | 'UNKNOWN_ASSET' | 'AMOUNT_OUT_OF_RANGE'

export type Placement =
  | { readonly outcome: 'accepted'; readonly order: StoredOrder }
  | { readonly outcome: 'refused'; readonly code: Refusal; readonly rule?: AntifraudRule }

/**
 * Antifraud, reservation, order row, history and outgoing messages for any number of requests, all in the caller's
 * transaction. The HTTP layer adds the records of the idempotency keys to the same transaction, so that one commit makes
 * all of it true. The statements are the same few whether one order is placed or a hundred.
 *
 * The exchange is not called here: a call to somebody else's system inside a transaction can neither be rolled back nor be
 * allowed to hold an account's lock.
 *
 * @param timeoutMs - age at which an order that has not ended is looked at again
 * @returns one placement for each request, in the order given
 */
export async function placeOrders(
  tx: Tx,
  requests: readonly OrderRequest[],
  timeoutMs: number,
): Promise<readonly Placement[]> {
  const books = await openBooks(tx, requests)
  const decisions = requests.map((request) => decide(request, books))
  const orders = decisions.flatMap((decision) => ('order' in decision ? [decision.order] : []))
  if (orders.length === 0) return decisions as readonly Placement[]
  const stored = new Map((await insertOrders(tx, orders)).map((order) => [order.orderId, order]))
  const traces = new Map<string, TraceHeaders | undefined>(
    decisions.flatMap((decision, at) =>
      'order' in decision ? [[decision.order.orderId, requests[at]?.trace] as const] : [],
    ),
  )
  await post(tx, orders.map(reservation))
  await noteUse(tx, books)
  await announce(
    tx,
    [...stored.values()].flatMap((order) => {
      const trace = traces.get(order.orderId)
      const accepted = { type: 'order.accepted', order, trace } as const
      return mustBeReported(order) ? [accepted, { type: 'order.large', order, trace }] : [accepted]
    }),
    orders.map(({ orderId }) => ({
      type: 'order.timeout',
      orderId,
      tries: 0,
      delayMs: timeoutMs,
      trace: traces.get(orderId),
    })),
  )
  return decisions.map((decision) =>
    'order' in decision ? { outcome: 'accepted', order: stored.get(decision.order.orderId) as StoredOrder } : decision,
  )
}

type Decision = { readonly order: NewOrder } | Extract<Placement, { outcome: 'refused' }>

interface Books {
  readonly uses: Map<string, AccountUse>
  /** What is free, by account and asset; lowered as the requests are decided one after the other. */
  readonly free: Map<string, number>
  readonly quotes: ReadonlyMap<string, Centavos>
}

/** Locks the accounts, in one sequence for all, and reads what the decisions need. */
async function openBooks(tx: Tx, requests: readonly OrderRequest[]): Promise<Books> {
  const accountIds = [...new Set(requests.map(({ accountId }) => accountId))]
  const assets = [...new Set(requests.map(({ asset }) => asset))]
  const accounts = await sql<AccountUse & { account_id: string }>`
    select account_id, order_limit_centavos as "orderLimitCentavos", daily_limit_centavos as "dailyLimitCentavos",
      orders_per_minute as "ordersPerMinute", case when day = current_date then day_centavos else 0 end as "dayCentavos",
      case when minute_at > clock_timestamp() - interval '1 minute' then minute_orders else 0 end as "minuteOrders"
    from accounts where account_id = any(${accountIds}::text[]) order by account_id for no key update`.execute(tx)
  // A statement of its own: its snapshot is younger than the locks.
  const { rows } = await sql<{ account: string | null; asset: string; amount: number }>`
    select account_id as account, asset, amount from balances
    where account_id = any(${accountIds}::text[]) and kind in ('cash', 'holding') and (asset = 'BRL' or asset = any(${assets}::text[]))
    union all
    select null, asset, price_centavos from quotes where asset = any(${assets}::text[])`.execute(tx)
  return {
    uses: new Map(accounts.rows.map(({ account_id, ...use }) => [account_id, use])),
    free: new Map(rows.flatMap((row) => (row.account === null ? [] : [[`${row.account} ${row.asset}`, row.amount]]))),
    quotes: new Map(rows.flatMap((row) => (row.account === null ? [[row.asset, row.amount]] : []))),
  }
}

function decide(request: OrderRequest, books: Books): Decision {
  const use = books.uses.get(request.accountId)
  if (use === undefined) throw new Error(`account ${request.accountId} does not exist`)
  const price = books.quotes.get(request.asset)
  if (price === undefined) return { outcome: 'refused', code: 'UNKNOWN_ASSET' }
  const { accountId, asset, side, correlationId, requestId } = request
  const quantity = request.quantity ?? quantityFor(request.amountCentavos ?? 0, price)
  const amountCentavos = request.amountCentavos ?? Math.max(1, Math.ceil(proceedsOf(quantity, price) + 1))
  if (quantity < 1 || amountCentavos > maxAmountCentavos) return { outcome: 'refused', code: 'AMOUNT_OUT_OF_RANGE' }
  const rule = antifraud(amountCentavos, use)
  if (rule !== null) return { outcome: 'refused', code: 'ANTIFRAUD_REFUSED', rule }
  const pocket = `${accountId} ${side === 'BUY' ? 'BRL' : asset}`
  const left = (books.free.get(pocket) ?? 0) - (side === 'BUY' ? amountCentavos : quantity)
  if (left < 0) return { outcome: 'refused', code: 'INSUFFICIENT_BALANCE' }
  books.free.set(pocket, left)
  books.uses.set(accountId, {
    ...use,
    dayCentavos: use.dayCentavos + amountCentavos,
    minuteOrders: use.minuteOrders + 1,
  })
  const order = { orderId: uuidv7(), accountId, asset, side, amountCentavos, quantity, limitPriceCentavos: price }
  return { order: { ...order, correlationId, causationId: requestId, actor: accountId } }
}

/** Writes what antifraud will count next time. */
async function noteUse(tx: Tx, { uses }: Books): Promise<void> {
  const rows = [...uses].map(([accountId, { dayCentavos, minuteOrders }]) => ({ accountId, dayCentavos, minuteOrders }))
  await sql`
    update accounts
    set day = current_date, day_centavos = given."dayCentavos",
      minute_at = case when minute_at > clock_timestamp() - interval '1 minute' then minute_at else clock_timestamp() end,
      minute_orders = given."minuteOrders"
    from json_to_recordset(${JSON.stringify(rows)}::json) as given ("accountId" text, "dayCentavos" bigint, "minuteOrders" integer)
    where account_id = given."accountId"`.execute(tx)
}
