// #region typeorm
import { createOutbox } from '@malote/outbox-core'
import { typeormTransaction } from '@malote/outbox-core/typeorm'
import type { DataSource } from 'typeorm'

const outbox = createOutbox()

export async function accept(dataSource: DataSource, id: string, cents: number): Promise<void> {
  await dataSource.transaction(async (manager) => {
    await manager.query('insert into orders (id, cents) values ($1, $2)', [id, cents])
    await outbox.add(typeormTransaction(manager), {
      topic: 'orders',
      type: 'order.accepted',
      orderingKey: id,
      payload: { id, cents },
    })
  })
}
// #endregion
