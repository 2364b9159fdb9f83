import type { Idempotency } from '@malote/idempotency'
import { idempotentMiddleware, keepRawBody } from '@malote/idempotency/express'
import { idempotentHooks, idempotentRoute } from '@malote/idempotency/fastify'
import { idempotentMiddleware as honoIdempotency } from '@malote/idempotency/hono'
import express, { type Express, type Request, type Response } from 'express'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type Context, Hono } from 'hono'
import { cors } from 'hono/cors'
import type { Pool } from 'pg'

// #region express
export function createExpressApp(pool: Pool, idempotency: Idempotency<Pool, Request>): Express {
  /** The same code with a request's transaction, and without one. */
  async function addOrder(asset: string): Promise<string> {
    const db = idempotency.current()?.tx ?? pool
    const { rows } = await db.query<{ id: string }>('insert into orders (asset) values ($1) returning id', [asset])
    return (rows[0] as { id: string }).id
  }

  const app = express()
  app.use(express.json({ verify: keepRawBody }))
  app.post(
    '/orders',
    idempotentMiddleware(idempotency, { operation: 'createOrder' }),
    async (request: Request, response: Response) => {
      const id = await addOrder((request.body as { asset: string }).asset)
      response.status(201).location(`/orders/${id}`).json({ id })
    },
  )
  return app
}
// #endregion

// #region fastify
export function mountOrders(app: FastifyInstance, idempotency: Idempotency<Pool, FastifyRequest>): void {
  const hooks = idempotentHooks(idempotency, { operation: 'createOrder' })
  app.post('/orders', hooks, async (request, reply) => {
    const { asset } = request.body as { asset: string }
    const { rows } = await idempotency
      .transaction()
      .query<{ id: string }>('insert into orders (asset) values ($1) returning id', [asset])
    return reply.code(201).send(rows[0])
  })
}
// #endregion

// #region options
export function mountWebhook(app: FastifyInstance, idempotency: Idempotency<Pool, FastifyRequest>): void {
  const settlePayout = idempotency.atomic(
    {
      operation: 'settlePayout',
      // The sender of a webhook has no Idempotency-Key, but an id for each event.
      key: ({ body }) => (body as { event?: string }).event,
      // It stamps each attempt anew.
      ignoredFields: ['sentAt'],
      retention: { keyMs: 30 * 86_400_000, bodyMs: 3_600_000 },
      timeoutMs: 5_000,
      waitMs: 2_000,
      onReplay: (request, response, { operation }) => {
        request.log.info({ operation }, 'sent again')
        return response
      },
    },
    async ({ tx, request }) => {
      const { payout } = request.body as { payout: string }
      await tx.query('insert into settled (payout) values ($1)', [payout])
      return { status: 204 }
    },
  )
  app.post('/webhooks/payouts', idempotentRoute(settlePayout))
}
// #endregion

// #region hono
export function createHonoApp(idempotency: Idempotency<Pool, Context>): Hono {
  const app = new Hono()
  app.use(
    cors({
      origin: 'https://shop.example',
      allowHeaders: ['content-type', 'idempotency-key'],
      exposeHeaders: ['idempotency-replayed', 'retry-after', 'location', 'link'],
    }),
  )
  app.post('/orders', honoIdempotency(idempotency, { operation: 'createOrder' }), async (context) => {
    const { asset } = await context.req.json<{ asset: string }>()
    const { rows } = await idempotency
      .transaction()
      .query<{ id: string }>('insert into orders (asset) values ($1) returning id', [asset])
    return context.json(rows[0], 201)
  })
  return app
}
// #endregion
