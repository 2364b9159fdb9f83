import { sql } from 'kysely'
import type { Database } from '../database/database.ts'

/** An order is settled within two seconds; one that waits for a step of ours this long after its acceptance is behind. */
const behindAfterMs = 1_000

/** Nobody looks further back: where orders wait longer than this, the newer ones do too. It bounds what a look costs. */
const lookBackMs = 10_000

/** As few as these are one customer's bad luck, or an outage in a quiet hour, and no queue. */
const manyOrders = 64

/**
 * Whether orders are accepted faster than they are settled: many of the last ten seconds have waited longer than a second for a step of ours.
 * Those that the exchange has in hand do not count, and while its breaker is open none does: no pace of ours would help them.
 */
export async function isSettlementBehind(db: Database): Promise<boolean> {
  const { rows } = await sql<{ behind: number }>`
    select count(*) as behind from (
      select from orders
      where is_open and state in ('BALANCE_RESERVED', 'FILLED', 'COMPENSATING')
        and created_at between clock_timestamp() - ${lookBackMs}::float8 * interval '1 ms'
          and clock_timestamp() - ${behindAfterMs}::float8 * interval '1 ms'
        and not exists (select from breakers where state <> 'closed')
      limit ${manyOrders}) as found`.execute(db)
  return Number(rows[0]?.behind) >= manyOrders
}
