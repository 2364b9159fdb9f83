// #region mikro-orm
import { createOutbox } from '@malote/outbox-core'
import { mikroOrmTransaction } from '@malote/outbox-core/mikro-orm'
import type { MikroORM } from '@mikro-orm/postgresql'

const outbox = createOutbox()

export async function accept(orm: MikroORM, id: string, cents: number): Promise<void> {
  await orm.em.fork().transactional(async (em) => {
    await em.execute('insert into orders (id, cents) values (?, ?)', [id, cents])
    await outbox.add(mikroOrmTransaction(em), {
      topic: 'orders',
      type: 'order.accepted',
      orderingKey: id,
      payload: { id, cents },
    })
  })
}
// #endregion
