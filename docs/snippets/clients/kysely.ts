// #region kysely
import { createOutbox } from '@malote/outbox-core'
import type { Kysely } from 'kysely'

interface Database {
  orders: { id: string; cents: number }
}

const outbox = createOutbox()

export async function accept(db: Kysely<Database>, id: string, cents: number): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await trx.insertInto('orders').values({ id, cents }).execute()
    await outbox.add(trx, { topic: 'orders', type: 'order.accepted', orderingKey: id, payload: { id, cents } })
  })
}
// #endregion
