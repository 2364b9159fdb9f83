import { sql } from 'kysely'
import { type Listener, resultsOf } from './tell-listeners.ts'

/**
 * Audit: what was announced in the end, as somebody outside heard it, to be held against the history, which says who did what on the way
 * there.
 */
export const recordEvent: Listener = async (tx, told) => {
  const entries = resultsOf(told).map(({ type, order: { orderId, accountId }, happenedAt }) => ({
    orderId,
    accountId,
    event: type,
    happenedAt,
  }))
  if (entries.length === 0) return
  await sql`
    insert into audit_entries (order_id, account_id, event, happened_at)
    select "orderId", "accountId", event, "happenedAt" from json_to_recordset(${JSON.stringify(entries)}::json)
      as given ("orderId" uuid, "accountId" text, event text, "happenedAt" timestamptz)`.execute(tx)
}
