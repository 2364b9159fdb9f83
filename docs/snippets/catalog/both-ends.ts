// #region both-ends
import { createHandlers, createInbox } from '@malote/idempotency'
import { createOutbox, type DeliveryHandler, defineCatalog } from '@malote/outbox-core'
import type { Pool, PoolClient } from 'pg'
import { z } from 'zod'

// A module that producers and consumers share.
const catalog = defineCatalog({
  'order.accepted': { topic: 'orders', schema: z.object({ orderId: z.string(), cents: z.int().positive() }) },
  'order.cancelled': { topic: 'orders', schema: z.object({ orderId: z.string(), reason: z.string().default('') }) },
})

// The producer. A wrong type, topic or payload is an error of the compiler, and at run time. The topic may be left out.
const outbox = createOutbox({ catalog })

export async function acceptOrder(tx: PoolClient, orderId: string, cents: number): Promise<void> {
  await tx.query('insert into orders (id, cents) values ($1, $2)', [orderId, cents])
  await outbox.add(tx, { type: 'order.accepted', orderingKey: orderId, payload: { orderId, cents } })
}

// The consumer: the handler of SQS, RabbitMQ, Kafka or the broker in memory. A type that is forgotten does not compile.
export function createSalesHandler(pool: Pool): DeliveryHandler {
  const options = { inbox: createInbox(), db: pool, consumer: 'sales' }
  return createHandlers(
    catalog,
    {
      'order.accepted': async ({ orderId, cents }, tx) => {
        await tx.query('insert into sales (order_id, cents) values ($1, $2)', [orderId, cents])
      },
      'order.cancelled': 'ignore',
    },
    options,
  )
}
// #endregion
