import { inBatches } from '@malote/outbox-core'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import type pg from 'pg'
import { z } from 'zod'
import { decide, type ExchangeBehaviour, type ExchangeFaults, exchangeFaults } from './behaviour.ts'
import { gather } from './gather.ts'

export interface ExchangeServerOptions {
  /** Sessions that find `executions` in their search path. */
  readonly pool: pg.Pool
  readonly behaviour: ExchangeBehaviour
}

const orderBody = z.object({
  asset: z.string(),
  side: z.enum(['BUY', 'SELL']),
  quantity: z.int().positive(),
  limitPriceCentavos: z.int().positive(),
})

interface ById {
  Params: { id: string }
}

/**
 * The exchange's HTTP API. The path carries the customer's own order id: putting the same order twice executes it once and
 * answers the same.
 *
 * - `PUT /orders/:clientOrderId` executes: 200 with `filled` or `rejected`, 503 in an outage
 * - `GET /orders/:clientOrderId` says how it was decided: 200, or 404 for an order that never arrived
 * - `DELETE /orders/:clientOrderId` withdraws: 200 with `cancelled`, or with what had happened before
 * - `PUT /faults` breaks it, `{}` restores it
 */
export function createExchangeServer({ pool, behaviour }: ExchangeServerOptions): FastifyInstance {
  const app = Fastify({ logger: false, forceCloseConnections: true })
  const outage = createOutages(behaviour)
  const auction = createAuction(behaviour)
  const record = inBatches((executions: readonly Execution[]) => recordAll(pool, executions))
  let faults: ExchangeFaults = {}

  app.put('/faults', async (request) => (faults = exchangeFaults.parse(request.body)))

  app.addHook('onRequest', async (request, reply) => {
    if (request.url === '/faults') return
    if (faults.down === true || outage.isNow()) await reply.code(503).send({ error: 'EXCHANGE_UNAVAILABLE' })
  })

  // The answers to a whole batch are ready at the same time.
  app.addHook('onSend', async (request) => gather(request.raw.socket))

  app.put<ById>('/orders/:id', async (request, reply) => {
    const body = orderBody.parse(request.body)
    outage.count()
    await new Promise((resolve) => setTimeout(resolve, faults.slowMs ?? behaviour.latencyMs))
    const clientOrderId = request.params.id
    if (auction.refuses(clientOrderId, body.asset)) return reply.code(503).send({ error: 'IN_AUCTION' })
    const order = { clientOrderId, ...body }
    const decision = await record({ ...order, ...decide(order, behaviour, faults) })
    return faults.unknown === true ? cut(reply) : decision
  })

  app.get<ById>('/orders/:id', async (request, reply) => {
    if (faults.unknown === true) return cut(reply)
    const { rows } = await pool.query<Recorded>(`select ${recorded} from executions where client_order_id = $1`, [
      request.params.id,
    ])
    return rows[0] ?? reply.code(404).send({ error: 'NO_SUCH_ORDER' })
  })

  app.delete<ById>('/orders/:id', async (request, reply) => {
    if (faults.unknown === true) return cut(reply)
    return record({ clientOrderId: request.params.id, asset: '', side: '', outcome: 'cancelled' })
  })

  return app
}

/** The worst an exchange can do: it knows, and the customer does not. */
function cut(reply: FastifyReply): FastifyReply {
  reply.hijack()
  reply.raw.destroy()
  return reply
}

interface Execution {
  readonly clientOrderId: string
  readonly asset: string
  readonly side: string
  readonly outcome: string
  readonly reason?: string
  readonly quantity?: number
  readonly limitPriceCentavos?: number
  readonly priceCentavos?: number
}

interface Recorded {
  readonly status: string
  readonly reason: string | null
  readonly quantity: number | null
  readonly priceCentavos: number | null
}

const recorded = `outcome as status, reason, filled_quantity as quantity, price_centavos as "priceCentavos"`

/** The first to name a client order id decides it; everyone later reads that decision. */
async function recordAll(
  pool: pg.Pool,
  executions: readonly Execution[],
): Promise<readonly PromiseSettledResult<Recorded>[]> {
  // One of each id: a statement may not decide the same row twice.
  const distinct = [...new Map(executions.map((execution) => [execution.clientOrderId, execution])).values()]
  const { rows } = await pool.query<Recorded & { id: string }>(
    `insert into executions as execution
       (client_order_id, asset, side, limit_price_centavos, outcome, reason, filled_quantity, price_centavos)
     select "clientOrderId", asset, side, "limitPriceCentavos", outcome, reason,
       case when outcome = 'filled' then quantity end, "priceCentavos"
     from json_to_recordset($1::json) as given ("clientOrderId" uuid, asset text, side text, quantity bigint,
       "limitPriceCentavos" bigint, outcome text, reason text, "priceCentavos" bigint)
     order by 1
     on conflict (client_order_id) do update set repeats = execution.repeats + 1
     returning client_order_id as id, ${recorded}`,
    [JSON.stringify(distinct)],
  )
  const byId = new Map(rows.map(({ id, ...row }) => [id, row]))
  return executions.map(({ clientOrderId }) => ({ status: 'fulfilled', value: byId.get(clientOrderId) as Recorded }))
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

function createAuction({ inAuction }: ExchangeBehaviour): { refuses(clientOrderId: string, asset: string): boolean } {
  const refusals = new Map<string, number>()
  return {
    refuses: (clientOrderId, asset) => {
      const before = refusals.get(clientOrderId) ?? 0
      if (before >= (inAuction[asset] ?? 0)) return false
      refusals.set(clientOrderId, before + 1)
      return true
    },
  }
}
