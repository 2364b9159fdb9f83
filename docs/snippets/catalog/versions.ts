// #region second
import { createHandlers, createInbox } from '@malote/idempotency'
import { type DeliveryHandler, defineCatalog } from '@malote/outbox-core'
import type { Pool } from 'pg'
import { z } from 'zod'

const first = z.object({ orderId: z.string(), cents: z.int() })
const second = z.object({ orderId: z.string(), amount: z.object({ value: z.int(), currency: z.string() }) })

/** Knows the old shape and the new one: deploy it before the first producer that sends the new one. */
export function createSalesHandlerOfBoth(pool: Pool): DeliveryHandler {
  const catalog = defineCatalog({ 'order.accepted': first, 'order.accepted.v2': second })
  const options = { inbox: createInbox(), db: pool, consumer: 'sales' }
  return createHandlers(
    catalog,
    {
      'order.accepted': async ({ orderId, cents }, tx) => {
        await tx.query('insert into sales (order_id, cents) values ($1, $2)', [orderId, cents])
      },
      'order.accepted.v2': async ({ orderId, amount }, tx) => {
        await tx.query('insert into sales (order_id, cents) values ($1, $2)', [orderId, amount.value])
      },
    },
    options,
  )
}
// #endregion
