import { createIdempotency, type HandlerResponse } from '@malote/idempotency'
import { idempotentRoute } from '@malote/idempotency/fastify'
import type { FastifyInstance, FastifyRequest, preHandlerHookHandler } from 'fastify'
import type pg from 'pg'
import { z } from 'zod'
import type { Database, Tx } from '../database/database.ts'
import { joinTransaction } from '../database/join-transaction.ts'
import { brlFromCentavos, centavosFromBrl, quantityFromShares, sharesFromQuantity } from '../money.ts'
import { cancelOrder } from '../orders/cancel-order.ts'
import { decideOrder, type Verdict } from '../orders/manual-tasks.ts'
import { movementsOf } from '../balances/ledger.ts'
import { historyOf } from '../orders/order-history.ts'
import { findOrder, type StoredOrder } from '../orders/order-store.ts'
import { type Placement, placeOrders } from '../orders/place-orders.ts'
import type { ApiOptions } from './app.ts'
import { noteOrder } from './metrics.ts'
import { idParams, operation, storable } from './openapi.ts'
import { detailOf, orderBody, parseOrderRequest, type WantedOrder } from './order-request.ts'
import { problem, sendProblem } from './problem.ts'
import { traceOf } from './request-context.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The validated body of a new order. */
    wantedOrder: WantedOrder | null
  }
}

/** As many as the statements are cheaper by together; more only keep everybody waiting. */
const ordersInOneCommit = 64

interface IdParams {
  Params: { id: string }
}

/** Placing, looking at, cancelling and deciding one order. */
export function orderRoutes(app: FastifyInstance, { db, pool, pepper, orderTimeoutMs, pace }: ApiOptions): void {
  const idempotency = createIdempotency<pg.Pool, FastifyRequest>({
    db: pool,
    pepper,
    tenant: () => 'brokerage',
    subject: (request) => request.principal.accountId,
  })
  // Requests that arrive while a transaction is under way share the next one: under load a commit serves dozens of them.
  const createOrder = idempotency.batch({ operation: 'createOrder', maxSize: ordersInOneCommit }, ({ tx, requests }) =>
    joinTransaction(tx, (joined) => place(joined, requests, orderTimeoutMs)),
  )
  app.decorateRequest('wantedOrder', null)
  app.post('/api/orders', {
    config: { permission: 'orders:place' },
    ...operation('orders', 'Place an order', {
      description:
        'Answers 202 when the money or the shares are set aside. Send it again under the same key as often as you like.',
      body: orderBody,
      example: { amount: 1000, asset: 'PETR4', type: 'BUY' },
      idempotent: true,
      success: 202,
    }),
    // Behind the check: what makes no sense is told so at once.
    preHandler: pace === undefined ? validateOrder : [validateOrder, () => pace.turn()],
    onResponse: (_request, reply, done) => {
      const replayed = reply.getHeader('idempotency-replayed') === 'true'
      noteOrder(replayed ? 'replayed' : reply.statusCode === 202 ? 'accepted' : 'refused')
      done()
    },
    ...idempotentRoute(createOrder),
  })

  const one = operation('orders', 'Look at one order', { params: idParams })
  app.get<IdParams>('/api/orders/:id', { config: { permission: 'orders:read' }, ...one }, async (request, reply) => {
    const order = await visibleOrder(db, request)
    return order === undefined ? sendProblem(reply, 'NOT_FOUND') : orderResource(order)
  })

  const history = operation('orders', 'How it came to be: every transition of its saga', { params: idParams })
  app.get<IdParams>(
    '/api/orders/:id/history',
    { config: { permission: 'orders:read' }, ...history },
    async (request, reply) => {
      const order = await visibleOrder(db, request)
      return order === undefined
        ? sendProblem(reply, 'NOT_FOUND')
        : { history: await historyOf(db, order.orderId), movements: await movementsOf(db, order.orderId) }
    },
  )

  // Needs no idempotency key: cancelling a cancelled order changes nothing and answers the same.
  const cancelling = operation('orders', 'Cancel an order that has not been sent', { params: idParams })
  app.delete<IdParams>(
    '/api/orders/:id',
    { config: { permission: 'orders:cancel' }, ...cancelling },
    async (request, reply) => {
      const { id } = request.params
      if (!isOrderId(id)) return sendProblem(reply, 'NOT_FOUND')
      const { accountId } = request.principal
      const cause = { actor: accountId, causationId: request.id }
      const cancellation = await db.transaction().execute((tx) => cancelOrder(tx, accountId, id, cause))
      if (cancellation.outcome === 'not-found') return sendProblem(reply, 'NOT_FOUND')
      if (cancellation.outcome === 'too-late')
        return sendProblem(reply, 'TOO_LATE_TO_CANCEL', `the order is ${cancellation.order.state}`)
      return orderResource(cancellation.order)
    },
  )

  decisionRoute(app, db)
}

const decisionBody = z.strictObject({
  status: z.enum(['SETTLED', 'COMPENSATED']).meta({ description: 'Settle what the exchange filled, or give back.' }),
  quantity: z
    .number()
    .positive()
    .max(10_000_000)
    .optional()
    .meta({ description: 'Shares that were filled. Default: all.', multipleOf: 0.000001 }),
  price: z
    .number()
    .positive()
    .max(10_000_000)
    .optional()
    .meta({ description: 'BRL a share. Default: the limit price.', multipleOf: 0.01 }),
  note: z
    .string()
    .min(3)
    .max(200)
    .regex(storable, 'must not contain NUL')
    .meta({ description: 'Why; kept in the history.' }),
})

/** `PUT /api/orders/:id/status`: a person decides what the exchange does not. */
function decisionRoute(app: FastifyInstance, db: Database): void {
  const described = operation('operations', 'Decide an order that has failed', {
    params: idParams,
    body: decisionBody,
    example: { status: 'COMPENSATED', note: 'B3 confirmed by phone that it was never filled' },
  })
  app.put<IdParams>(
    '/api/orders/:id/status',
    { config: { permission: 'orders:decide' }, ...described },
    async (request, reply) => {
      const { id } = request.params
      const body = decisionBody.safeParse(request.body)
      if (!body.success) return sendProblem(reply, 'INVALID_REQUEST', detailOf(body.error))
      const order = isOrderId(id) ? await findOrder(db, id) : undefined
      if (order === undefined) return sendProblem(reply, 'NOT_FOUND')
      const verdict = verdictOf(body.data, order)
      if (verdict === undefined) return sendProblem(reply, 'INVALID_REQUEST', 'quantity or price has too many decimals')
      const cause = { actor: request.principal.accountId, causationId: request.id }
      const decision = await db.transaction().execute((tx) => decideOrder(tx, id, verdict, body.data.note, cause))
      switch (decision.outcome) {
        case 'not-found':
          return sendProblem(reply, 'NOT_FOUND')
        case 'not-open':
          return sendProblem(reply, 'NOT_UNDECIDED', `the order is ${decision.order.state}`)
        case 'fill-too-large':
          return sendProblem(reply, 'FILL_TOO_LARGE')
        default:
          return orderResource(decision.order)
      }
    },
  )
}

/** @returns undefined when a number is not one of ours */
function verdictOf(body: z.infer<typeof decisionBody>, order: StoredOrder): Verdict | undefined {
  if (body.status === 'COMPENSATED') return null
  const quantity = body.quantity === undefined ? order.quantity : quantityFromShares(body.quantity)
  const priceCentavos = body.price === undefined ? order.limitPriceCentavos : centavosFromBrl(body.price)
  return quantity === null || priceCentavos === null ? undefined : { quantity, priceCentavos }
}

/** A customer's own, or anybody's for those who may. */
async function visibleOrder(db: Database, request: FastifyRequest<IdParams>): Promise<StoredOrder | undefined> {
  const { accountId, permissions } = request.principal
  const order = isOrderId(request.params.id) ? await findOrder(db, request.params.id) : undefined
  return order?.accountId === accountId || permissions.includes('orders:read-all') ? order : undefined
}

/** Runs before the idempotency key is looked at: a request that makes no sense is not worth remembering. */
const validateOrder: preHandlerHookHandler = (request, reply, done) => {
  const parsed = parseOrderRequest(request.body)
  if (!parsed.valid) {
    void sendProblem(reply, 'INVALID_REQUEST', parsed.detail)
    return
  }
  request.wantedOrder = parsed.request
  done()
}

async function place(
  tx: Tx,
  requests: readonly FastifyRequest[],
  timeoutMs: number,
): Promise<readonly HandlerResponse[]> {
  const wanted = requests.map((request) => ({
    ...(request.wantedOrder as WantedOrder),
    accountId: request.principal.accountId,
    correlationId: request.id,
    requestId: request.id,
    trace: traceOf(request),
  }))
  return (await placeOrders(tx, wanted, timeoutMs)).map(responseTo)
}

/**
 * A refusal is stored like an acceptance: the retry of a refused order is refused again, whatever the balance is by then. It has
 * no effects that would have to be undone, which would cost the whole batch a second run.
 */
function responseTo(placement: Placement): HandlerResponse {
  if (placement.outcome === 'refused') {
    const body = problem(placement.code, placement.rule === undefined ? undefined : `rule: ${placement.rule}`)
    return {
      status: body.status,
      headers: { 'content-type': 'application/problem+json' },
      body: JSON.stringify(body),
      effects: 'keep',
    }
  }
  const { orderId } = placement.order
  return {
    status: 202,
    headers: { location: `/api/orders/${orderId}` },
    body: orderResource(placement.order),
    resourceRef: orderId,
  }
}

/** An order as the API shows it. */
export function orderResource(
  order: Omit<StoredOrder, 'correlationId' | 'limitPriceCentavos'> & { limitPriceCentavos?: number },
): Record<string, unknown> {
  return {
    id: order.orderId,
    status: order.state,
    reason: order.reason,
    account: order.accountId,
    amount: brlFromCentavos(order.amountCentavos),
    asset: order.asset,
    type: order.side,
    quantity: sharesFromQuantity(order.quantity),
    limitPrice: order.limitPriceCentavos === undefined ? undefined : brlFromCentavos(order.limitPriceCentavos),
    filledQuantity: order.filledQuantity === null ? null : sharesFromQuantity(order.filledQuantity),
    fillPrice: order.fillPriceCentavos === null ? null : brlFromCentavos(order.fillPriceCentavos),
    version: order.version,
    createdAt: order.createdAt,
    updatedAt: order.updatedAt,
  }
}

function isOrderId(id: string): boolean {
  return z.uuid().safeParse(id).success
}
