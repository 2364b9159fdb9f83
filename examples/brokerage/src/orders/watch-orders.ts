import { sql } from 'kysely'
import type { Database, Tx } from '../database/database.ts'
import { announce } from './order-events.ts'

/** Notes that orders whose time is up have been looked at just now. */
export async function noteLook(tx: Tx, orderIds: readonly string[]): Promise<void> {
  if (orderIds.length === 0) return
  await sql`
    with late as materialized (
      select order_id from orders where order_id = any(${orderIds}::uuid[]) order by order_id for no key update
    )
    update orders set looked_at = clock_timestamp() where order_id in (select order_id from late)`.execute(tx)
}

/** Longest list of one round; the next round takes the rest. */
const roundSize = 500

/**
 * Asks for a look at every open order that nobody looks after any more.
 *
 * An order's timeout is a message, and a message can die: a broker that refuses it, a release that cannot read it, an
 * operator who discards it. Nothing else would ever come back to such an order, and what it reserved would stay reserved. The row itself
 * therefore says when somebody looked last, and this function finds the rows that are silent. The look it asks for is a single one: while
 * the broker is away, a round adds one message to an order and not another chain of timeouts.
 *
 * Any number of processes may call it: each order is taken by one of them.
 *
 * @param timeoutMs - age at which an order's time is up
 * @param silenceMs - longest time without a look from then on. Above the longest pause between two looks, or it asks for nothing new
 * @returns how many orders it asked about
 */
export async function remindForsaken(db: Database, timeoutMs: number, silenceMs: number): Promise<number> {
  return db.transaction().execute(async (tx) => {
    const { rows } = await sql<{ orderId: string }>`
      with silent as materialized (
        select order_id from orders
        where is_open
          and created_at < clock_timestamp() - ${timeoutMs + silenceMs}::float8 * interval '1 ms'
          and (looked_at is null or looked_at < clock_timestamp() - ${silenceMs}::float8 * interval '1 ms')
        order by order_id limit ${roundSize} for no key update skip locked
      )
      update orders set looked_at = clock_timestamp() from silent where orders.order_id = silent.order_id
      returning orders.order_id as "orderId"`.execute(tx)
    await announce(
      tx,
      [],
      rows.map(({ orderId }) => ({ type: 'order.timeout', orderId, tries: 1, delayMs: 0, once: true })),
    )
    return rows.length
  })
}

export interface OrderWatch {
  stop(): Promise<void>
}

/** Calls `remindForsaken` every `everyMs`, from one call's end to the next one's begin, until it is stopped. */
export function watchOrders(
  db: Database,
  options: { readonly timeoutMs: number; readonly silenceMs: number; readonly everyMs: number },
  told: { onFound(count: number): void; onError(error: unknown): void },
): OrderWatch {
  let timer: NodeJS.Timeout | undefined
  let round: Promise<void> = Promise.resolve()
  let stopped = false

  async function look(): Promise<void> {
    try {
      const count = await remindForsaken(db, options.timeoutMs, options.silenceMs)
      if (count > 0) told.onFound(count)
    } catch (error) {
      // A database that is away: the next round finds what this one did not.
      told.onError(error)
    }
    wait()
  }
  function wait(): void {
    if (stopped) return
    timer = setTimeout(() => {
      round = look()
    }, options.everyMs)
  }

  wait()
  return {
    stop: async () => {
      stopped = true
      clearTimeout(timer)
      await round
    },
  }
}
