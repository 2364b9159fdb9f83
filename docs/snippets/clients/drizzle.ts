// #region drizzle
import { createOutbox } from '@malote/outbox-core'
import { drizzleTransaction } from '@malote/outbox-core/drizzle'
import { sql } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'

const outbox = createOutbox()

export async function accept(db: NodePgDatabase, id: string, cents: number): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.execute(sql`insert into orders (id, cents) values (${id}, ${cents})`)
    await outbox.add(drizzleTransaction(tx), {
      topic: 'orders',
      type: 'order.accepted',
      orderingKey: id,
      payload: { id, cents },
    })
  })
}
// #endregion
