import type { FastifyInstance } from 'fastify'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { sql } from 'kysely'
import type { Database } from '../database/database.ts'

/** What `/metrics` says of this process. */
export const registry: Registry = new Registry()
collectDefaultMetrics({ register: registry })

const requests = new Counter({
  name: 'http_requests_total',
  help: 'Requests answered, by route and status.',
  labelNames: ['method', 'route', 'status'] as const,
  registers: [registry],
})
const durations = new Histogram({
  name: 'http_request_duration_seconds',
  help: 'Time from the first byte of the request to the end of the answer.',
  labelNames: ['method', 'route'] as const,
  buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5],
  registers: [registry],
})
const orders = new Counter({
  name: 'brokerage_order_requests_total',
  help: 'Answers to new orders: accepted, refused, or the stored answer of an earlier request.',
  labelNames: ['outcome'] as const,
  registers: [registry],
})
const states = new Gauge({
  name: 'brokerage_open_orders',
  help: 'Orders that still hold money or shares, by state of their saga.',
  labelNames: ['state'] as const,
  registers: [registry],
})
const depth = new Gauge({
  name: 'brokerage_outbox_depth',
  help: 'Messages that are due and not published.',
  registers: [registry],
})
const tasks = new Gauge({
  name: 'brokerage_manual_tasks',
  help: 'Orders that wait for a person.',
  registers: [registry],
})
const breaker = new Gauge({
  name: 'brokerage_breaker_open',
  help: 'Whether the breaker before the exchange lets nothing through: 1 open, 0 closed.',
  registers: [registry],
})
const behind = new Gauge({
  name: 'brokerage_settlement_behind',
  help: 'Whether orders are accepted faster than they are settled, and wait before they are accepted: 1 yes, 0 no.',
  registers: [registry],
})
const pool = new Gauge({
  name: 'brokerage_pool_connections',
  help: 'Database connections of this process, by what they do; waiting are requests without one.',
  labelNames: ['what'] as const,
  registers: [registry],
})

export function notePool(of: { totalCount: number; idleCount: number; waitingCount: number }): void {
  pool.set({ what: 'total' }, of.totalCount)
  pool.set({ what: 'idle' }, of.idleCount)
  pool.set({ what: 'waiting' }, of.waitingCount)
}

export function noteBehind(isBehind: boolean): void {
  behind.set(isBehind ? 1 : 0)
}

export function noteOrder(outcome: 'accepted' | 'refused' | 'replayed'): void {
  orders.inc({ outcome })
}

export function measureRequests(app: FastifyInstance): void {
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'unknown'
    requests.inc({ method: request.method, route, status: String(reply.statusCode) })
    durations.observe({ method: request.method, route }, reply.elapsedTime / 1_000)
  })
}

/** Reads what only the database knows; done when somebody scrapes. */
export async function collectBusinessMetrics(db: Database): Promise<void> {
  const { rows } = await sql<{ state: string; count: number }>`
    select state, count(*) as count from orders where is_open group by state`.execute(db)
  states.reset()
  for (const { state, count } of rows) states.set({ state }, count)
  const counted = await sql<{ depth: number; tasks: number; breaker: number }>`
    select (select count(*) from malote.messages) as depth,
      (select count(*) from manual_tasks where resolved_at is null) as tasks,
      (select count(*) from breakers where state <> 'closed') as breaker`.execute(db)
  depth.set(counted.rows[0]?.depth ?? 0)
  breaker.set(Math.min(1, counted.rows[0]?.breaker ?? 0))
  tasks.set(counted.rows[0]?.tasks ?? 0)
}
