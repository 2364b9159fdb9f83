import type pg from 'pg'
import { listenersOf } from '../messaging/subscriptions.ts'
import { allTopics } from '../orders/order-events.ts'

/** What the database says at one moment, over all runs on this data. */
export interface Measurement {
  /** Orders the API has committed. */
  readonly accepted: number
  /** Decided by the exchange, by its own records. `rejected` counts withdrawn ones too. */
  readonly filled: number
  readonly rejected: number
  readonly settled: number
  readonly compensated: number
  readonly cancelled: number
  /** Waiting for a person. */
  readonly undecided: number
  /** Distinct messages ever committed. */
  readonly messagesAdded: number
  /** Messages still in the outbox. */
  readonly messagesWaiting: number
  readonly deadLetters: number
  /** Messages that every one of their consumers has applied, and none twice. */
  readonly effectsApplied: number
  /** Committed messages that a consumer has not applied. */
  readonly lost: number
  readonly duplicateDeliveries: number
}

/** How many consumers get each topic's messages: $1, one row for each topic. */
const expected = `unnest($1::text[], $2::int[]) as expected (topic, listeners)`

/** One statement, one snapshot: figures that belong together. */
const measurement = `
  with effects as (
    select message_id, count(distinct consumer) as consumers, count(*) as effects from applied_messages group by message_id
  ),
  complete as (
    select count(*) filter (where coalesce(consumers, 0) < listeners) as lost,
      count(*) filter (where consumers = listeners and effects = listeners) as applied
    from added_messages join ${expected} using (topic) left join effects using (message_id)
  )
  select
    (select count(*) from orders) as accepted,
    (select count(*) from b3.executions where outcome = 'filled') as filled,
    (select count(*) from b3.executions where outcome <> 'filled') as rejected,
    (select count(*) from orders where state = 'SETTLED') as settled,
    (select count(*) from orders where state = 'COMPENSATED') as compensated,
    (select count(*) from orders where state = 'CANCELLED') as cancelled,
    (select count(*) from manual_tasks where resolved_at is null) as undecided,
    (select count(*) from added_messages) as "messagesAdded",
    (select count(*) from malote.messages) + (select count(*) from malote.scheduled_messages) as "messagesWaiting",
    (select count(*) from malote.dead_letters) as "deadLetters",
    complete.applied as "effectsApplied",
    complete.lost,
    (select count(*) from duplicate_deliveries) as "duplicateDeliveries"
  from complete`

const listeners: readonly unknown[] = [allTopics, allTopics.map(listenersOf)]

export async function measure(pool: pg.Pool): Promise<Measurement> {
  const { rows } = await pool.query<Measurement & pg.QueryResultRow>(measurement, [...listeners])
  return rows[0] as Measurement
}

/** Whether nothing is on its way any more. */
export function isQuiet(now: Measurement): boolean {
  const closed = now.settled + now.compensated + now.cancelled
  return now.lost === 0 && now.messagesWaiting === 0 && closed === now.accepted
}

/** The books and the order of keys, looked at once, when all is quiet. */
export interface Verification {
  /** Of all balances and of the market, which is the other side: money and shares together. */
  readonly ledgerSum: number
  /** Balances that are not the sum of their movements. */
  readonly wrongBalances: number
  /** Centavos and shares still set aside. */
  readonly reserved: number
  /** Positions that are not what the ledger says is held. */
  readonly wrongPositions: number
  /** Orders whose history does not make the row. */
  readonly wrongHistories: number
  /** Rows of the query side that differ from the order. */
  readonly wrongViews: number
  /** Effects committed out of the order in which the messages of their topic and key were added. */
  readonly keyOrderViolations: number
  /** Effects beyond the first of a message. */
  readonly repeatedEffects: number
  /** Orders the counting consumer has counted. */
  readonly ordersReported: number
  readonly notifications: number
  /** Final orders on which ledger, order and exchange disagree. */
  readonly disagreements: number
  /** Orders of the given ids that have no row. */
  readonly missingOrders: number
}

const verification = `
  select
    (select (select coalesce(sum(amount), 0) from balances)
      + (select coalesce(sum(case when from_kind = 'market' then -amount else 0 end
          + case when to_kind = 'market' then amount else 0 end), 0) from ledger_movements))::bigint as "ledgerSum",
    (select count(*) from (
      select account_id, kind, asset, sum(side.amount) as amount from ledger_movements as moved
      cross join lateral (values (from_account, from_kind, -moved.amount), (to_account, to_kind, moved.amount))
        as side (account_id, kind, amount)
      where account_id is not null group by 1, 2, 3) as told
      full join balances as balance using (account_id, kind, asset)
      where told.amount is distinct from balance.amount) as "wrongBalances",
    (select coalesce(sum(amount), 0)::bigint from balances where kind like '%reserved') as reserved,
    (select count(*) from positions
      where quantity <> (select coalesce(sum(amount), 0) from balances as balance
        where balance.account_id = positions.account_id and balance.asset = positions.asset)) as "wrongPositions",
    (select count(*) from orders where version <> (
      select count(*) from order_history as history where history.order_id = orders.order_id)
      or state <> (select state from order_history as history where history.order_id = orders.order_id
        order by version desc limit 1)) as "wrongHistories",
    (select count(*) from orders full join order_views as view using (order_id)
      where (orders.state, orders.version, orders.filled_quantity, orders.reason)
        is distinct from (view.state, view.version, view.filled_quantity, view.reason)) as "wrongViews",
    -- Only first effects count: a second one is counted as a repeated effect.
    (select count(*) from (
      select added.position < lag(added.position) over (
        partition by first.consumer, added.topic, added.ordering_key order by first.position) as backwards
      from (select consumer, message_id, min(position) as position from applied_messages group by 1, 2) as first
      join added_messages as added using (message_id)
      where added.ordering_key is not null and first.consumer in ('orders', 'balances')) as steps where backwards) as "keyOrderViolations",
    (select count(*) - count(distinct (consumer, message_id)) from applied_messages) as "repeatedEffects",
    (select coalesce(sum(orders_settled + orders_undone), 0)::bigint from asset_reports) as "ordersReported",
    (select count(distinct order_id) from notifications) as notifications,
    (select count(*) from orders
      left join b3.executions as execution on client_order_id = order_id
      left join lateral (
        select coalesce(sum(amount) filter (where reason = 'reservation'), 0) as reserved,
          coalesce(sum(amount) filter (where reason <> 'reservation' and from_kind like '%reserved'), 0) as spent,
          bool_or(reason = 'delivery') as traded
        from ledger_movements as moved where moved.order_id = orders.order_id) as books on true
      where reserved <> spent or reserved = 0
        or coalesce(orders.filled_quantity, 0) <> coalesce(execution.filled_quantity, 0)
        or (state, coalesce(outcome, 'none'), traded) not in (
          ('SETTLED', 'filled', true), ('COMPENSATED', 'rejected', false),
          ('COMPENSATED', 'cancelled', false), ('COMPENSATED', 'none', false), ('CANCELLED', 'none', false))) as disagreements,
    (select count(*) from unnest($1::uuid[]) as promised (order_id)
      where not exists (select from orders where orders.order_id = promised.order_id)) as "missingOrders"`

/** @param promisedOrders - ids the API has answered 202 with */
export async function verify(pool: pg.Pool, promisedOrders: Iterable<string>): Promise<Verification> {
  const { rows } = await pool.query<Verification & pg.QueryResultRow>(verification, [[...promisedOrders]])
  return rows[0] as Verification
}
