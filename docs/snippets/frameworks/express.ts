import { createIdempotency } from '@malote/idempotency'
import { idempotentHandler, keepRawBody } from '@malote/idempotency/express'
import { createOutbox } from '@malote/outbox-core'
import express, { type Express, type Request } from 'express'
import type { Pool } from 'pg'

const outbox = createOutbox()

export function createOrdersApp(pool: Pool, pepper: string): Express {
  const idempotency = createIdempotency({
    db: pool,
    tenant: () => 'acme',
    subject: (request: Request) => String(request.headers['x-user']), // After authentication: an id, never a token.
    pepper,
  })
  const createOrder = idempotency.atomic({ operation: 'createOrder' }, async ({ tx, request }) => {
    const { asset } = request.body as { asset: string }
    const { rows } = await tx.query<{ id: string }>('insert into orders (asset) values ($1) returning id', [asset])
    const { id } = rows[0] as { id: string }
    await outbox.add(tx, { topic: 'orders', type: 'order.accepted', orderingKey: id, payload: { id, asset } })
    return { status: 202, headers: { location: `/orders/${id}` }, body: { id } }
  })

  const app = express()
  app.use(express.json({ verify: keepRawBody }))
  app.post('/orders', idempotentHandler(createOrder))
  return app
}
