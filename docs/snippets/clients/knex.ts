// #region knex
import { createOutbox } from '@malote/outbox-core'
import { knexTransaction } from '@malote/outbox-core/knex'
import type { Knex } from 'knex'

const outbox = createOutbox()

export async function accept(knex: Knex, id: string, cents: number): Promise<void> {
  await knex.transaction(async (trx) => {
    await trx('orders').insert({ id, cents })
    await outbox.add(knexTransaction(trx), {
      topic: 'orders',
      type: 'order.accepted',
      orderingKey: id,
      payload: { id, cents },
    })
  })
}
// #endregion
