// #region postgres-js
import { createOutbox } from '@malote/outbox-core'
import { postgresJsTransaction } from '@malote/outbox-core/postgres-js'
import type { Sql } from 'postgres'

const outbox = createOutbox()

export async function accept(sql: Sql, id: string, cents: number): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`insert into orders (id, cents) values (${id}, ${cents})`
    await outbox.add(postgresJsTransaction(tx), {
      topic: 'orders',
      type: 'order.accepted',
      orderingKey: id,
      payload: { id, cents },
    })
  })
}
// #endregion
