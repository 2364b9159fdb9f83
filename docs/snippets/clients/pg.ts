// #region pg
import { createOutbox } from '@malote/outbox-core'
import type { Pool } from 'pg'

const outbox = createOutbox()

export async function accept(pool: Pool, id: string, cents: number): Promise<void> {
  const tx = await pool.connect()
  try {
    await tx.query('begin')
    await tx.query('insert into orders (id, cents) values ($1, $2)', [id, cents])
    await outbox.add(tx, { topic: 'orders', type: 'order.accepted', orderingKey: id, payload: { id, cents } })
    await tx.query('commit')
  } catch (error) {
    await tx.query('rollback')
    throw error
  } finally {
    tx.release()
  }
}
// #endregion
