import {
  type Completer,
  createBatchHandler,
  createIdempotency,
  createInbox,
  type HandlerResponse,
  type Idempotency,
  type IdempotentOperation,
  type LeaseCall,
  maintainInbox,
  openApiFragments,
  type PepperRotation,
  type RetentionJob,
  startRetention,
} from '@malote/idempotency'
import { createIdempotentClient } from '@malote/idempotency/client'
import { idempotentRoute } from '@malote/idempotency/fastify'
import { createOutbox, type DeliveryHandler, type Outbox, uuidv7 } from '@malote/outbox-core'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Pool, PoolClient } from 'pg'

// #region inbox
const inbox = createInbox()
const outbox = createOutbox()

export async function applyDeposit(
  pool: Pool,
  message: { id: string; createdAt: Date; amount: number },
): Promise<void> {
  await inbox.transact(
    pool,
    { consumer: 'balance', messageId: message.id, occurredAt: message.createdAt },
    async (tx) => {
      await tx.query('update accounts set balance = balance + $1 where id = 1', [message.amount])
      await outbox.add(tx, { topic: 'balances', type: 'balance.changed', payload: { amount: message.amount } })
    },
  )
  // Resolved: committed now, or by an earlier delivery. Acknowledge the message.
}
// #endregion

// #region batch-handler
export function createReportHandler(pool: Pool): DeliveryHandler {
  return createBatchHandler({ inbox: createInbox(), db: pool, consumer: 'reports' }, async (tx, messages) => {
    const assets = messages.map((message) => (message.json() as { asset: string }).asset)
    await tx.query('insert into fills (asset) select unnest($1::text[])', [assets])
  })
}
// #endregion

// #region hot-account
export function createDepositHandler(pool: Pool): DeliveryHandler {
  const options = { inbox: createInbox(), db: pool, consumer: 'deposits', byStream: true }
  return createBatchHandler(options, async (tx, messages) => {
    // All of one account, in order: the topic's ordering key.
    const amounts = messages.map((message) => (message.json() as { amount: number }).amount)
    const total = amounts.reduce((sum, amount) => sum + amount, 0)
    await tx.query('update accounts set balance = balance + $1 where id = $2', [total, messages[0]?.orderingKey])
  })
}
// #endregion

// #region setup
export function createOrderIdempotency(pool: Pool, pepper: string | PepperRotation): Idempotency<Pool, FastifyRequest> {
  return createIdempotency({
    db: pool,
    // After authentication, and stable: an id, never a token.
    tenant: (request: FastifyRequest) => String(request.headers['x-tenant']),
    subject: (request: FastifyRequest) => String(request.headers['x-user']),
    pepper,
  })
}
// #endregion

// #region atomic
export function mountOrders(
  app: FastifyInstance,
  idempotency: Idempotency<Pool, FastifyRequest>,
  outbox: Outbox,
): void {
  const createOrder = idempotency.atomic({ operation: 'createOrder' }, async ({ tx, request }) => {
    const order = request.body as { asset: string }
    const { rows } = await tx.query('insert into orders (asset) values ($1) returning id', [order.asset])
    const { id } = rows[0] as { id: string }
    await outbox.add(tx, { topic: 'orders', type: 'order.accepted', payload: { id } })
    return { status: 202, headers: { location: `/orders/${id}` }, body: { id }, resourceRef: id }
  })
  app.post('/orders', idempotentRoute(createOrder))
}
// #endregion

// #region batch
export function mountOrdersInBatches(
  app: FastifyInstance,
  idempotency: Idempotency<Pool, FastifyRequest>,
  outbox: Outbox,
): void {
  const createOrder = idempotency.batch({ operation: 'createOrder', maxSize: 32 }, async ({ tx, requests }) => {
    const orders = requests.map(({ body }) => ({ id: uuidv7(), asset: (body as { asset: string }).asset }))
    await tx.query(
      'insert into orders (id, asset) select id, asset from json_to_recordset($1) as given (id uuid, asset text)',
      [JSON.stringify(orders)],
    )
    await outbox.addAll(
      tx,
      orders.map(({ id }) => ({ topic: 'orders', type: 'order.accepted', payload: { id } })),
    )
    // One response for each request, in their order.
    return orders.map(({ id }) => ({
      status: 202,
      headers: { location: `/orders/${id}` },
      body: { id },
      resourceRef: id,
    }))
  })
  app.post('/orders', idempotentRoute(createOrder))
}
// #endregion

// #region lease
export interface Exchange {
  buy(asset: string, idempotencyKey: string, signal: AbortSignal): Promise<{ id: string }>
}

export function createBuyNow(
  idempotency: Idempotency<Pool, FastifyRequest>,
  exchange: Exchange,
): IdempotentOperation<FastifyRequest> {
  return idempotency.lease({ operation: 'buyNow', onLeaseExpired: 'retry' }, async (call) => {
    const { asset } = call.request.body as { asset: string }
    const trade = await exchange.buy(asset, call.downstreamKey('buy'), call.signal)
    return call.commit(async (tx) => {
      await tx.query('insert into trades (id, asset) values ($1, $2)', [trade.id, asset])
      return { status: 201, body: trade }
    })
  })
}
// #endregion

// #region completer
export interface SellingExchange {
  sell(asset: string, idempotencyKey: string, signal: AbortSignal): Promise<{ id: string }>
}

/** Settles with the exchange first and with us second; each step is the same on every attempt. */
async function sell(
  call: Pick<LeaseCall<PoolClient, unknown>, 'commit' | 'downstreamKey' | 'signal'>,
  asset: string,
  exchange: SellingExchange,
): Promise<HandlerResponse> {
  const trade = await exchange.sell(asset, call.downstreamKey('sell'), call.signal)
  return call.commit(async (tx) => {
    await tx.query('insert into trades (id, asset) values ($1, $2)', [trade.id, asset])
    return { status: 201, body: trade }
  })
}

export function createSellNow(
  idempotency: Idempotency<Pool, FastifyRequest>,
  exchange: SellingExchange,
): { operation: IdempotentOperation<FastifyRequest>; completer: Completer } {
  const options = { operation: 'sellNow', leaseMs: 10_000 }
  return {
    operation: idempotency.lease({ ...options, onLeaseExpired: 'resume' }, async (call) => {
      const { asset } = call.request.body as { asset: string }
      await call.saveRecovery('accepted', { asset })
      return sell(call, asset, exchange)
    }),
    // There is no request any more: what is needed was saved.
    completer: idempotency.completer(options, (call) => {
      const { asset } = call.recovery.data as { asset: string }
      return sell(call, asset, exchange)
    }),
  }
}

export function startCompleting(completer: Completer, onError: (error: unknown) => void): RetentionJob {
  return startRetention(() => completer.runOnce(), { everyMs: 10_000, onError })
}
// #endregion

// #region reconcile
export async function reconcile(
  idempotency: Idempotency<Pool, FastifyRequest>,
  findTrade: (idempotencyKey: string) => Promise<{ id: string } | undefined>,
): Promise<void> {
  const operator = idempotency.reconcile()
  for (const key of await operator.list({ limit: 100 })) {
    const trade = await findTrade(operator.downstreamKey(key, 'buy'))
    if (trade === undefined) await operator.retry(key)
    else await operator.resolve(key, { status: 201, body: trade })
  }
}
// #endregion

// #region retention
export function startPurging(pool: Pool, idempotency: Idempotency<Pool, FastifyRequest>): RetentionJob {
  return startRetention(async () => {
    await idempotency.purge()
    await maintainInbox(pool, { keepDays: 14 })
  })
}
// #endregion

// #region pepper
export function pepperOf(rollOut: 'first' | 'second' | 'last', old: string, young: string): string | PepperRotation {
  if (rollOut === 'first') return { current: old, accepted: [young] }
  if (rollOut === 'second') return { current: young, accepted: [old] }
  return young
}
// #endregion

// #region client
const send = createIdempotentClient({ maxAttempts: 5 })

export function placeOrder(url: string, asset: string): Promise<Response> {
  return send(`${url}/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-tenant': 'acme', 'x-user': 'alice' },
    body: JSON.stringify({ asset }),
  })
}
// #endregion

// #region openapi
const fragments = openApiFragments()

export const createOrderPath: { post: { parameters: object[]; responses: Record<string, object> } } = {
  post: {
    parameters: [fragments.parameter],
    responses: { '202': { description: 'Accepted', headers: fragments.replayHeaders }, ...fragments.responses },
  },
}
// #endregion
