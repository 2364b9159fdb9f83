// #region statement
import { createOutbox } from '@malote/outbox-core'
import type { Pool } from 'pg'

const outbox = createOutbox()

/** One statement is one transaction: no BEGIN, no COMMIT, one round trip. */
export async function acceptInOneStatement(pool: Pool, orderId: string, cents: number): Promise<void> {
  const message = { topic: 'orders', type: 'order.accepted', orderingKey: orderId, payload: { orderId, cents } }
  const { text, values } = await outbox.statement(message, { firstParameter: 3, prepared: true })
  await pool.query({
    name: 'accept order', // The text is always the same: prepared once on each connection.
    text: `with accepted as (insert into orders (id, cents) values ($1, $2)) ${text}`,
    values: [orderId, cents, ...values],
  })
}
// #endregion
