// #region drizzle-service
import { createHandlers, createIdempotency, createInbox, type IdempotentOperation } from '@malote/idempotency'
import { createOutbox, defineCatalog, type DeliveryHandler } from '@malote/outbox-core'
import { drizzleDatabase, drizzleTransaction } from '@malote/outbox-core/drizzle'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text } from 'drizzle-orm/pg-core'
import { z } from 'zod'

const orders = pgTable('orders', { id: text().primaryKey(), cents: integer().notNull() })
const sales = pgTable('sales', { orderId: text('order_id').primaryKey(), cents: integer().notNull() })
const order = z.object({ id: z.string(), cents: z.int().positive() })
const catalog = defineCatalog({ 'order.accepted': { topic: 'orders', schema: order } })
const outbox = createOutbox({ catalog })

/** Order, message and stored answer in one commit. Give it to the entry point of your server. */
export function acceptOrders(db: NodePgDatabase, pepper: string): IdempotentOperation<Request> {
  const idempotency = createIdempotency({
    db: drizzleDatabase(db), // 1. your client
    tenant: () => 'acme',
    subject: (request: Request) => String(request.headers.get('x-user')), // After authentication: an id, never a token.
    pepper,
  })
  return idempotency.atomic({ operation: 'acceptOrder' }, async ({ tx, request }) => {
    const body = order.safeParse(await request.json())
    if (!body.success) return { status: 400, body: { error: z.prettifyError(body.error) } }
    const { id, cents } = body.data
    await tx.insert(orders).values({ id, cents })
    await outbox.add(drizzleTransaction(tx), { type: 'order.accepted', orderingKey: id, payload: { id, cents } }) // 2.
    return { status: 201, body: { id } }
  })
}

/** Each accepted order becomes one sale, however often its message arrives. Give it to a consumer. */
export function createSalesHandler(db: NodePgDatabase): DeliveryHandler {
  return createHandlers(
    catalog,
    {
      'order.accepted': async ({ id, cents }, tx) => {
        await tx.insert(sales).values({ orderId: id, cents })
      },
    },
    { inbox: createInbox(), db: drizzleDatabase(db), consumer: 'sales' }, // 3.
  )
}
// #endregion
