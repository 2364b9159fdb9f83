import { sql } from 'kysely'
import type { Database, Tx } from '../database/database.ts'
import type { Centavos, Quantity } from '../money.ts'
import { type Fill, type Order, type OrderState, orderStates, statesBefore } from './order.ts'

/** An order as it stands in its row. */
export interface StoredOrder extends Order {
  readonly state: OrderState
  readonly version: number
  readonly reason: string | null
  readonly filledQuantity: Quantity | null
  readonly fillPriceCentavos: Centavos | null
  readonly correlationId: string
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** Who changes orders, and because of what. */
export interface Cause {
  /** An account's id, or the part of the brokerage that acts. */
  readonly actor: string
  /** Id of the message or request. */
  readonly causationId: string
}

/** An order that has just been reserved. */
export interface NewOrder extends Order, Cause {
  readonly correlationId: string
}

/** Where an order is to go, and what is known by then. */
export interface Step extends Cause {
  readonly orderId: string
  readonly to: OrderState
  readonly reason?: string | null
  readonly fill?: Fill | null
}

const columns = sql`orders.order_id as "orderId", account_id as "accountId", asset, side,
  amount_centavos as "amountCentavos", quantity, limit_price_centavos as "limitPriceCentavos", orders.state as state,
  orders.version as version, orders.reason as reason, orders.filled_quantity as "filledQuantity",
  orders.fill_price_centavos as "fillPriceCentavos", orders.correlation_id as "correlationId",
  created_at as "createdAt", updated_at as "updatedAt"`

/** Inserts orders in `BALANCE_RESERVED` with their first two history rows. */
export async function insertOrders(tx: Tx, orders: readonly NewOrder[]): Promise<readonly StoredOrder[]> {
  const { rows } = await sql<StoredOrder>`
    with given as (
      select * from json_to_recordset(${JSON.stringify(orders)}::json) as given (
        "orderId" uuid, "accountId" text, asset text, side text, "amountCentavos" bigint, quantity bigint,
        "limitPriceCentavos" bigint, "correlationId" text, "causationId" text, actor text)
    ),
    written as (
      insert into order_history (order_id, version, state, data, correlation_id, causation_id, actor)
      select "orderId", version, state, data, "correlationId", "causationId", actor
      from given
      cross join lateral (values
        (1, 'STARTED', json_build_object('accountId', "accountId", 'asset', asset, 'side', side,
          'amountCentavos', "amountCentavos", 'quantity', quantity, 'limitPriceCentavos', "limitPriceCentavos")),
        (2, 'BALANCE_RESERVED', json_build_object())
      ) as step (version, state, data)
    )
    insert into orders (order_id, account_id, asset, side, amount_centavos, quantity, limit_price_centavos, state, version,
      correlation_id)
    select "orderId", "accountId", asset, side, "amountCentavos", quantity, "limitPriceCentavos", 'BALANCE_RESERVED', 2,
      "correlationId" from given
    returning ${columns}`.execute(tx)
  return inOrderOf(orders, rows)
}

const transitions = orderStates.flatMap((to) => statesBefore(to).map((from) => ({ from, to })))
const transitionsFrom = transitions.map(({ from }) => from)
const transitionsTo = transitions.map(({ to }) => to)

/**
 * Moves orders on, each if it is in a state from which it may go where it is to go, and writes their history in the
 * same statement.
 *
 * @param maxAgeMs - orders that are older stay where they are, by the database's clock
 * @returns the orders that moved, as they stand now; the rows of the others are as they were
 */
export async function advance(
  db: Database | Tx,
  steps: readonly Step[],
  maxAgeMs: number | null = null,
): Promise<ReadonlyMap<string, StoredOrder>> {
  if (steps.length === 0) return new Map()
  const given = steps.map(({ fill, ...step }) => ({
    ...step,
    filled: fill?.quantity ?? null,
    price: fill?.priceCentavos ?? null,
  }))
  const { rows } = await sql<StoredOrder>`
    with step as (
      select * from json_to_recordset(${JSON.stringify(given)}::json) as step (
        "orderId" uuid, "to" text, reason text, filled bigint, price bigint, "causationId" text, actor text)
    ),
    locked as materialized (
      -- In one sequence, so that two batches cannot wait for each other.
      select order_id, state from orders where order_id in (select "orderId" from step) order by order_id for no key update
    ),
    moved as (
      update orders
      set state = step."to", version = version + 1, reason = coalesce(step.reason, orders.reason),
        filled_quantity = coalesce(step.filled, filled_quantity),
        fill_price_centavos = coalesce(step.price, fill_price_centavos), updated_at = clock_timestamp()
      from step
      where orders.order_id = step."orderId" and orders.order_id in (select order_id from locked)
        and (${maxAgeMs}::float8 is null or created_at > clock_timestamp() - ${maxAgeMs}::float8 * interval '1 ms')
        and (orders.state, step."to") in (select * from unnest(${transitionsFrom}::text[], ${transitionsTo}::text[]))
      returning orders.*, step.reason as step_reason, step.filled, step.price, step."causationId", step.actor
    ),
    written as (
      insert into order_history (order_id, version, state, data, correlation_id, causation_id, actor)
      select order_id, version, state,
        json_strip_nulls(json_build_object('reason', step_reason, 'filledQuantity', filled, 'fillPriceCentavos', price)),
        correlation_id, "causationId", actor
      from moved
    )
    select ${columns} from moved as orders`.execute(db)
  return new Map(rows.map((row) => [row.orderId, row]))
}

/** Takes the orders' row locks, in one sequence, for a transaction that will change them in more than one statement. */
export async function lockOrders(tx: Tx, orderIds: readonly string[]): Promise<void> {
  await sql`select from orders where order_id = any(${orderIds}::uuid[]) order by order_id for no key update`.execute(
    tx,
  )
}

/** As `advance`, where an order that stays where it is means that a promise was broken. @throws Error, so that the transaction is rolled back */
export async function mustAdvance(tx: Tx, steps: readonly Step[]): Promise<readonly StoredOrder[]> {
  const moved = await advance(tx, steps)
  return steps.map(({ orderId, to }) => {
    const order = moved.get(orderId)
    if (order === undefined) throw new Error(`order ${orderId} cannot become ${to} from the state it is in`)
    return order
  })
}

/** An order, and whether its time is up. By the database's clock. */
export interface TimedOrder extends StoredOrder {
  readonly isLate: boolean
}

/** @returns the orders that exist. @param timeoutMs - age at which an order is late */
export async function findOrders(
  db: Database | Tx,
  orderIds: readonly string[],
  timeoutMs = 0,
): Promise<ReadonlyMap<string, TimedOrder>> {
  const { rows } = await sql<TimedOrder>`
    select ${columns}, created_at + ${timeoutMs}::float8 * interval '1 ms' <= clock_timestamp() as "isLate"
    from orders where order_id = any(${orderIds}::uuid[])`.execute(db)
  return new Map(rows.map((row) => [row.orderId, row]))
}

export async function findOrder(db: Database | Tx, orderId: string): Promise<StoredOrder | undefined> {
  return (await findOrders(db, [orderId])).get(orderId)
}

function inOrderOf(orders: readonly Order[], rows: readonly StoredOrder[]): readonly StoredOrder[] {
  const byId = new Map(rows.map((row) => [row.orderId, row]))
  return orders.map(({ orderId }) => byId.get(orderId) as StoredOrder)
}
