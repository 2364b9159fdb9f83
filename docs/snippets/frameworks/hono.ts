import { createIdempotency } from '@malote/idempotency'
import { idempotentHandler } from '@malote/idempotency/hono'
import { createOutbox } from '@malote/outbox-core'
import { type Context, Hono } from 'hono'
import type { Pool } from 'pg'

const outbox = createOutbox()

export function createOrdersApp(pool: Pool, pepper: string): Hono {
  const idempotency = createIdempotency({
    db: pool,
    tenant: () => 'acme',
    subject: (context: Context) => String(context.req.header('x-user')), // After authentication: an id, never a token.
    pepper,
  })
  const createOrder = idempotency.atomic({ operation: 'createOrder' }, async ({ tx, request: context }) => {
    const { asset } = await context.req.json<{ asset: string }>()
    const { rows } = await tx.query<{ id: string }>('insert into orders (asset) values ($1) returning id', [asset])
    const { id } = rows[0] as { id: string }
    await outbox.add(tx, { topic: 'orders', type: 'order.accepted', orderingKey: id, payload: { id, asset } })
    return { status: 202, headers: { location: `/orders/${id}` }, body: { id } }
  })

  const app = new Hono()
  app.post('/orders', idempotentHandler(createOrder))
  return app
}
