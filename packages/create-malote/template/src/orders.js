// The producer: POST /orders saves an order and its message in one commit, once for each Idempotency-Key.
import { createIdempotency } from '@malote/idempotency'
import { idempotentRoute } from '@malote/idempotency/fastify'
import { createOutbox } from '@malote/outbox-core'
import { z } from 'zod'
import { catalog } from './catalog.js'

const body = z.object({ cents: z.int().positive() })

export function mountOrders(app, pool, log) {
  const outbox = createOutbox({ catalog })
  const idempotency = createIdempotency({
    db: pool,
    pepper: process.env.IDEMPOTENCY_PEPPER ?? 'only-for-development-change-me!!',
    // Who asks. After you have authentication: the account and the user of it.
    tenant: () => 'demo',
    subject: () => 'demo',
  })
  const acceptOrder = idempotency.atomic({ operation: 'acceptOrder' }, async ({ tx, request }) => {
    const order = body.safeParse(request.body)
    if (!order.success) return { status: 400, body: { error: z.prettifyError(order.error) } }
    const id = crypto.randomUUID()
    await tx.query('insert into orders (id, cents) values ($1, $2)', [id, order.data.cents])
    await outbox.add(tx, { type: 'order.accepted', orderingKey: id, payload: { orderId: id, cents: order.data.cents } })
    log(`1. order ${id} and its message go into one commit`)
    return { status: 202, body: { id } }
  })
  app.post('/orders', idempotentRoute(acceptOrder))
}
