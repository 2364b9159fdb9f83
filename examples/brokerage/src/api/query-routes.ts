import type { FastifyInstance } from 'fastify'
import { sql } from 'kysely'
import { z } from 'zod'
import type { Database } from '../database/database.ts'
import { rebuildViews } from '../listeners/project-order.ts'
import type { Cache } from './cache.ts'
import { brlFromCentavos, sharesFromQuantity } from '../money.ts'
import { historyByActor, historyOf } from '../orders/order-history.ts'
import type { StoredOrder } from '../orders/order-store.ts'
import { orderStates } from '../orders/order.ts'
import { idParams, operation, storable } from './openapi.ts'
import { detailOf } from './order-request.ts'
import { orderResource } from './order-routes.ts'
import { sendProblem } from './problem.ts'

const filters = z.strictObject({
  status: z.enum(orderStates as [string, ...string[]]).optional(),
  asset: z.string().max(10).regex(storable, 'must not contain NUL').optional(),
  type: z.enum(['BUY', 'SELL']).optional(),
  from: z.iso.date().optional().meta({ description: 'First day, UTC.' }),
  to: z.iso.date().optional().meta({ description: 'Last day, UTC.' }),
  limit: z.coerce.number().int().min(1).max(200).default(50),
  before: z.uuid().optional().meta({ description: 'The id the last page ended with.' }),
})
const search = z.strictObject({
  q: z.string().min(2).max(60).regex(storable, 'must not contain NUL'),
  limit: z.coerce.number().int().min(1).max(200).default(50),
})
const actors = z.strictObject({
  actor: z.string().min(1).max(60).regex(storable, 'must not contain NUL'),
  limit: z.coerce.number().int().min(1).max(500).default(100),
})

type View = Omit<StoredOrder, 'correlationId' | 'limitPriceCentavos'>
const viewColumns = sql`order_id as "orderId", account_id as "accountId", asset, side, amount_centavos as "amountCentavos",
  quantity, filled_quantity as "filledQuantity", fill_price_centavos as "fillPriceCentavos", state, reason, version,
  created_at as "createdAt", updated_at as "updatedAt"`

/** The query side: reads what `listeners/project-order.ts` keeps, never the tables that orders are written to. */
export function queryRoutes(app: FastifyInstance, db: Database, cache: Cache): void {
  const own = { config: { permission: 'orders:read' } }
  const all = { config: { permission: 'orders:read-all' } }

  app.get(
    '/api/orders',
    { ...own, ...operation('queries', 'List your orders', { query: filters }) },
    async (request, reply) => {
      const query = filters.safeParse(request.query)
      if (!query.success) return sendProblem(reply, 'INVALID_REQUEST', detailOf(query.error))
      const { accountId, permissions } = request.principal
      return { orders: await list(db, permissions.includes('orders:read-all') ? null : accountId, query.data) }
    },
  )

  const ofCustomer = operation('queries', 'List the orders of one customer', { query: filters })
  app.get<{ Params: { id: string } }>('/api/orders/customer/:id', { ...own, ...ofCustomer }, async (request, reply) => {
    const query = filters.safeParse(request.query)
    if (!query.success) return sendProblem(reply, 'INVALID_REQUEST', detailOf(query.error))
    const { accountId, permissions } = request.principal
    if (request.params.id !== accountId && !permissions.includes('orders:read-all'))
      return sendProblem(reply, 'FORBIDDEN')
    return { orders: await list(db, request.params.id, query.data) }
  })

  app.get(
    '/api/orders/search',
    { ...own, ...operation('queries', 'Search in id, asset, state and reason', { query: search }) },
    async (request, reply) => {
      const query = search.safeParse(request.query)
      if (!query.success) return sendProblem(reply, 'INVALID_REQUEST', detailOf(query.error))
      const { accountId, permissions } = request.principal
      const pattern = `%${query.data.q.replaceAll(/[\\%_]/g, String.raw`\$&`)}%`
      const { rows } = await sql<View>`
      select ${viewColumns} from order_views
      where (${permissions.includes('orders:read-all')} or account_id = ${accountId})
        and concat_ws(' ', order_id, account_id, asset, side, state, reason) ilike ${pattern}
      order by order_id desc limit ${query.data.limit}`.execute(db)
      return { orders: rows.map(orderResource) }
    },
  )

  const analytics = operation('queries', 'Orders and volume per asset and day', {})
  // Reads every order there is, and is the same for everybody. Lists are neither: a customer looks there for the order just placed.
  app.get('/api/orders/analytics', { ...all, ...analytics }, async (_request, reply) => {
    const { value, isKept } = await cache.get('analytics', () => analyse(db))
    reply.header('x-cache', isKept ? 'hit' : 'miss')
    return { days: value }
  })

  app.post(
    '/api/orders/views/rebuild',
    { ...all, ...operation('queries', 'Make the query side anew from the history') },
    async () => {
      const orders = await rebuildViews(db)
      await cache.forget('analytics')
      return { orders }
    },
  )

  auditRoutes(app, db)
}

async function list(db: Database, accountId: string | null, query: z.infer<typeof filters>): Promise<unknown[]> {
  const { status = null, asset = null, type = null, from = null, to = null, before = null, limit } = query
  const { rows } = await sql<View>`
    select ${viewColumns} from order_views
    where (${accountId}::text is null or account_id = ${accountId}) and (${status}::text is null or state = ${status})
      and (${asset}::text is null or asset = ${asset}) and (${type}::text is null or side = ${type})
      and (${from}::date is null or created_at >= ${from}::date) and (${to}::date is null or created_at < ${to}::date + 1)
      and (${before}::uuid is null or order_id < ${before}::uuid)
    order by order_id desc limit ${limit}`.execute(db)
  return rows.map(orderResource)
}

async function analyse(db: Database): Promise<unknown[]> {
  const { rows } = await sql<{
    asset: string
    day: string
    orders: number
    settled: number
    undone: number
    quantity: number
    volume: number
  }>`
    select asset, to_char(created_at at time zone 'utc', 'YYYY-MM-DD') as day, count(*) as orders,
      count(*) filter (where state = 'SETTLED') as settled,
      count(*) filter (where state in ('COMPENSATED', 'CANCELLED')) as undone,
      coalesce(sum(filled_quantity), 0)::bigint as quantity,
      coalesce(round(sum(filled_quantity::numeric * fill_price_centavos / 1000000)), 0)::bigint as volume
    from order_views group by 1, 2 order by 2 desc, 1`.execute(db)
  return rows.map(({ quantity, volume, ...row }) => ({
    ...row,
    quantity: sharesFromQuantity(quantity),
    volume: brlFromCentavos(volume),
  }))
}

/** Who did what: the history by actor, what was announced of one order, and the alerts of compliance. */
function auditRoutes(app: FastifyInstance, db: Database): void {
  const config = { permission: 'audit:read' }
  const byActor = operation('audit', 'What one actor did to orders', { query: actors })
  app.get('/api/audit', { config, ...byActor }, async (request, reply) => {
    const query = actors.safeParse(request.query)
    if (!query.success) return sendProblem(reply, 'INVALID_REQUEST', detailOf(query.error))
    return { entries: await historyByActor(db, query.data.actor, query.data.limit) }
  })
  const ofOrder = operation('audit', 'What one order went through, by whom, and what was announced in the end', {
    params: idParams,
  })
  app.get<{ Params: { id: string } }>('/api/audit/orders/:id', { config, ...ofOrder }, async (request, reply) => {
    if (!z.uuid().safeParse(request.params.id).success) return sendProblem(reply, 'NOT_FOUND')
    const { rows } = await sql`
      select event, account_id as account, happened_at as "happenedAt", recorded_at as "recordedAt"
      from audit_entries where order_id = ${request.params.id}::uuid order by audit_entry_id`.execute(db)
    return { entries: rows, history: await historyOf(db, request.params.id) }
  })
  app.get('/api/compliance/alerts', { config, ...operation('audit', 'Orders above R$ 100,000') }, async () => {
    const { rows } = await sql<{ amount: number }>`
      select alert_id as id, order_id as "orderId", account_id as account, amount_centavos as amount, raised_at as "raisedAt"
      from compliance_alerts order by alert_id desc limit 200`.execute(db)
    return { alerts: rows.map((row) => ({ ...row, amount: brlFromCentavos(row.amount) })) }
  })
}
