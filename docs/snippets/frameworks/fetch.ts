import { createIdempotency, idempotentFetch } from '@malote/idempotency'
import { createOutbox } from '@malote/outbox-core'
import type { Pool } from 'pg'

const outbox = createOutbox()

/** `POST /orders`, for whatever serves by a function from a `Request` to a `Response`. */
export function createOrdersHandler(pool: Pool, pepper: string): (request: Request) => Promise<Response> {
  const idempotency = createIdempotency<Pool, Request>({
    db: pool,
    tenant: () => 'acme',
    subject: (request) => String(request.headers.get('x-user')), // After authentication: an id, never a token.
    pepper,
  })
  const createOrder = idempotency.atomic({ operation: 'createOrder' }, async ({ tx, request }) => {
    const { asset } = (await request.json()) as { asset: string }
    const { rows } = await tx.query<{ id: string }>('insert into orders (asset) values ($1) returning id', [asset])
    const { id } = rows[0] as { id: string }
    await outbox.add(tx, { topic: 'orders', type: 'order.accepted', orderingKey: id, payload: { id, asset } })
    return { status: 202, headers: { location: `/orders/${id}` }, body: { id } }
  })
  return idempotentFetch(createOrder)
}
