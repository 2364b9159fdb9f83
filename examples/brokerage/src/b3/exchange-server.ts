import Fastify, { type FastifyInstance } from 'fastify'
import type pg from 'pg'
import { z } from 'zod'
import { decide, type ExchangeBehaviour } from './behaviour.ts'

export interface ExchangeServerOptions {
  /** Sessions that find `executions` in their search path. */
  readonly pool: pg.Pool
  readonly behaviour: ExchangeBehaviour
}

const orderBody = z.object({
  asset: z.string(),
  side: z.enum(['BUY', 'SELL']),
  amountCentavos: z.int().positive(),
})

/**
 * The exchange's HTTP API. The path carries the customer's own order id: putting the same order twice executes it once and
 * answers the same.
 *
 * - `PUT /orders/:clientOrderId` executes: 200 with `filled` or `rejected`, 503 in an outage
 * - `DELETE /orders/:clientOrderId` withdraws: 200 with `cancelled`, or with what had happened before
 */
export function createExchangeServer({ pool, behaviour }: ExchangeServerOptions): FastifyInstance {
  const app = Fastify({ logger: false, forceCloseConnections: true })
  const outage = createOutages(behaviour)

  app.addHook('onRequest', async (_request, reply) => {
    if (outage.isNow()) await reply.code(503).send({ error: 'EXCHANGE_UNAVAILABLE' })
  })

  app.put<{ Params: { id: string } }>('/orders/:id', async (request, reply) => {
    const { asset, side, amountCentavos } = orderBody.parse(request.body)
    outage.count()
    await new Promise((resolve) => setTimeout(resolve, behaviour.latencyMs))
    if (behaviour.halted.includes(asset)) return reply.code(503).send({ error: 'ASSET_HALTED' })
    const { outcome, reason } = decide(asset, behaviour)
    return record(pool, [request.params.id, asset, side, amountCentavos, outcome, reason])
  })

  app.delete<{ Params: { id: string } }>('/orders/:id', async (request) => {
    const { asset, side, amountCentavos } = orderBody.parse(request.body)
    return record(pool, [request.params.id, asset, side, amountCentavos, 'cancelled', null])
  })

  return app
}

/** The first to name a client order id decides it; everyone later reads that decision. */
async function record(pool: pg.Pool, values: readonly unknown[]): Promise<{ status: string; reason: string | null }> {
  const { rows } = await pool.query<{ status: string; reason: string | null }>(
    `insert into executions as execution (client_order_id, asset, side, amount_centavos, outcome, reason)
     values ($1, $2, $3, $4, $5, $6)
     on conflict (client_order_id) do update set repeats = execution.repeats + 1
     returning outcome as status, reason`,
    [...values],
  )
  return rows[0] as { status: string; reason: string | null }
}

function createOutages({ outages }: ExchangeBehaviour): { isNow(): boolean; count(): void } {
  let requests = 0
  let untilMs = Number.NEGATIVE_INFINITY
  return {
    isNow: () => performance.now() < untilMs,
    count: () => {
      const starting = outages.find(({ afterRequests }) => afterRequests === requests)
      requests++
      if (starting !== undefined) untilMs = performance.now() + starting.forMs
    },
  }
}
