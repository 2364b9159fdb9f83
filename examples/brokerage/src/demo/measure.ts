import type pg from 'pg'

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
  /** Distinct messages ever committed. */
  readonly messagesAdded: number
  /** Messages still in the outbox. */
  readonly messagesWaiting: number
  readonly deadLetters: number
  /** Effects ever committed, duplicates included if there were any. */
  readonly effectsApplied: number
  /** Committed messages without an effect. */
  readonly lost: number
  readonly duplicateDeliveries: number
}

/** One statement, one snapshot: figures that belong together. */
const measurement = `
  select
    (select count(*) from orders) as accepted,
    (select count(*) from b3.executions where outcome = 'filled') as filled,
    (select count(*) from b3.executions where outcome <> 'filled') as rejected,
    (select count(*) from orders where status = 'settled') as settled,
    (select count(*) from orders where status = 'compensated') as compensated,
    (select count(*) from orders where status = 'cancelled') as cancelled,
    (select count(*) from added_messages) as "messagesAdded",
    (select count(*) from malote.messages) + (select count(*) from malote.scheduled_messages) as "messagesWaiting",
    (select count(*) from malote.dead_letters) as "deadLetters",
    (select count(*) from applied_messages) as "effectsApplied",
    (select count(*) from added_messages as added
      where not exists (select from applied_messages as applied where applied.message_id = added.message_id)) as lost,
    (select count(*) from duplicate_deliveries) as "duplicateDeliveries"`

export async function measure(pool: pg.Pool): Promise<Measurement> {
  const { rows } = await pool.query<Measurement & pg.QueryResultRow>(measurement)
  return rows[0] as Measurement
}

/** Whether nothing is on its way any more. */
export function isQuiet(now: Measurement): boolean {
  const closed = now.settled + now.compensated + now.cancelled
  return now.lost === 0 && now.messagesWaiting === 0 && closed === now.accepted
}

/** The books and the order of keys, looked at once, when all is quiet. */
export interface Verification {
  readonly ledgerSum: number
  /** Transactions whose entries do not sum to zero. */
  readonly unbalancedTransactions: number
  /** Accounts whose balance is not the sum of their entries. */
  readonly wrongBalances: number
  /** Centavos still set aside. */
  readonly reservedCentavos: number
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
    (select coalesce(sum(amount_centavos), 0)::bigint from ledger_entries) as "ledgerSum",
    (select count(*) from (
      select from ledger_entries group by transaction_id having sum(amount_centavos) <> 0) as unbalanced) as "unbalancedTransactions",
    (select count(*) from ledger_accounts as account
      where balance_centavos <> (
        select coalesce(sum(amount_centavos), 0) from ledger_entries as entry
        where (entry.account_id, entry.kind, entry.asset) = (account.account_id, account.kind, account.asset))) as "wrongBalances",
    (select coalesce(sum(balance_centavos), 0)::bigint from ledger_accounts where kind like '%reserved') as "reservedCentavos",
    -- Only first effects count: a second one is counted as a repeated effect.
    (select count(*) from (
      select added.position < lag(added.position) over (partition by added.topic, added.ordering_key order by first.position) as backwards
      from (select message_id, min(position) as position from applied_messages group by message_id) as first
      join added_messages as added using (message_id)
      where added.ordering_key is not null) as steps where backwards) as "keyOrderViolations",
    (select count(*) - count(distinct (consumer, message_id)) from applied_messages) as "repeatedEffects",
    (select coalesce(sum(orders_settled + orders_undone), 0)::bigint from asset_reports) as "ordersReported",
    (select count(*) from notifications) as notifications,
    (select count(*) from orders
      left join b3.executions as execution on client_order_id = order_id
      left join ledger_transactions as closing on closing.order_id = orders.order_id and closing.reason <> 'reservation'
      where (status, coalesce(outcome, 'none'), coalesce(closing.reason, 'none')) not in (
        ('settled', 'filled', 'settlement'), ('compensated', 'rejected', 'compensation'),
        ('compensated', 'cancelled', 'compensation'), ('cancelled', 'none', 'compensation'))) as disagreements,
    (select count(*) from unnest($1::uuid[]) as promised (order_id)
      where not exists (select from orders where orders.order_id = promised.order_id)) as "missingOrders"`

/** @param promisedOrders - ids the API has answered 202 with */
export async function verify(pool: pg.Pool, promisedOrders: Iterable<string>): Promise<Verification> {
  const { rows } = await pool.query<Verification & pg.QueryResultRow>(verification, [[...promisedOrders]])
  return rows[0] as Verification
}
