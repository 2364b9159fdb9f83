import { createIdempotency, type HandlerResponse } from '@malote/idempotency'
import { idempotentRoute } from '@malote/idempotency/fastify'
import type { FastifyInstance, FastifyRequest, preHandlerHookHandler } from 'fastify'
import { z } from 'zod'
import type { Database, Tx } from '../database/database.ts'
import { brlFromCentavos } from '../money.ts'
import { cancelOrder } from '../orders/cancel-order.ts'
import { findOrder, listOrders, type StoredOrder } from '../orders/order-store.ts'
import type { Order } from '../orders/order.ts'
import { type OrderRequest, placeOrder } from '../orders/place-order.ts'
import { parseOrderRequest } from './order-request.ts'
import { problem, sendProblem } from './problem.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The validated body of a new order. */
    orderRequest: OrderRequest | null
  }
}

export function orderRoutes(app: FastifyInstance, db: Database, pepper: string): void {
  const idempotency = createIdempotency<Database, FastifyRequest>({
    db,
    pepper,
    tenant: () => 'brokerage',
    subject: (request) => request.accountId,
  })
  const createOrder = idempotency.atomic({ operation: 'createOrder' }, async ({ tx, request }) =>
    placeOrderResponse(tx, request.accountId, request.orderRequest as OrderRequest),
  )
  app.decorateRequest('orderRequest', null)
  app.post('/api/orders', { preHandler: validateOrderRequest, ...idempotentRoute(createOrder) })

  app.get('/api/orders', async (request, reply) => {
    const page = pageQuery.safeParse(request.query)
    if (!page.success) return sendProblem(reply, 'INVALID_REQUEST', 'limit must be 1 to 200, before an order id')
    const orders = await listOrders(db, request.accountId, page.data)
    return { orders: orders.map(orderResource) }
  })

  app.get<IdParams>('/api/orders/:id', async (request, reply) => {
    const order = isOrderId(request.params.id) ? await findOrder(db, request.params.id) : undefined
    if (order?.accountId !== request.accountId) return sendProblem(reply, 'NOT_FOUND')
    return orderResource(order)
  })

  // Needs no idempotency key: cancelling a cancelled order changes nothing and answers the same.
  app.delete<IdParams>('/api/orders/:id', async (request, reply) => {
    const { id } = request.params
    if (!isOrderId(id)) return sendProblem(reply, 'NOT_FOUND')
    const cancellation = await db.transaction().execute((tx) => cancelOrder(tx, request.accountId, id))
    if (cancellation.outcome === 'not-found') return sendProblem(reply, 'NOT_FOUND')
    if (cancellation.outcome === 'too-late')
      return sendProblem(reply, 'TOO_LATE_TO_CANCEL', `the order is ${cancellation.order.status}`)
    return orderResource(cancellation.order)
  })
}

interface IdParams {
  Params: { id: string }
}

const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  before: z.uuid().optional(),
})

/** Runs before the idempotency key is looked at: a request that makes no sense is not worth remembering. */
const validateOrderRequest: preHandlerHookHandler = (request, reply, done) => {
  const parsed = parseOrderRequest(request.body)
  if (!parsed.valid) {
    void sendProblem(reply, 'INVALID_REQUEST', parsed.detail)
    return
  }
  request.orderRequest = parsed.request
  done()
}

/** A refusal is stored like an acceptance: the retry of a refused order is refused again, whatever the balance is by then. */
async function placeOrderResponse(tx: Tx, accountId: string, order: OrderRequest): Promise<HandlerResponse> {
  const placement = await placeOrder(tx, accountId, order)
  if (placement.outcome === 'refused') {
    const body = problem(placement.code)
    return { status: body.status, headers: { 'content-type': 'application/problem+json' }, body: JSON.stringify(body) }
  }
  const { orderId } = placement.order
  return {
    status: 202,
    headers: { location: `/api/orders/${orderId}` },
    body: { id: orderId, status: 'accepted', ...orderFields(placement.order) },
    resourceRef: orderId,
  }
}

function orderResource(order: StoredOrder): Record<string, unknown> {
  return {
    id: order.orderId,
    status: order.status,
    reason: order.reason,
    ...orderFields(order),
    createdAt: order.createdAt,
    updatedAt: order.updatedAt,
  }
}

function orderFields({ amountCentavos, asset, side }: Order): Record<string, unknown> {
  return { amount: brlFromCentavos(amountCentavos), asset, type: side }
}

function isOrderId(id: string): boolean {
  return z.uuid().safeParse(id).success
}
