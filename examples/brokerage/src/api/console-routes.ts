import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import { sql } from 'kysely'
import type { Database } from '../database/database.ts'
import { listTasks } from '../orders/manual-tasks.ts'
import type { ApiOptions } from './app.ts'
import { streamOf } from './stream.ts'

const files = [
  ['/', 'index.html', 'text/html; charset=utf-8'],
  ['/console/console.css', 'console.css', 'text/css; charset=utf-8'],
  ['/console/saga.css', 'saga.css', 'text/css; charset=utf-8'],
  ['/console/console.js', 'console.js', 'text/javascript; charset=utf-8'],
  ['/console/view.js', 'view.js', 'text/javascript; charset=utf-8'],
] as const

/** The console: a page, its style and its code, served as they are, and a stream of what there is to see. */
export function consoleRoutes(app: FastifyInstance, { db, demo, controlUrl }: ApiOptions): void {
  for (const [path, file, type] of files) {
    const content = readFileSync(new URL(`../console/${file}`, import.meta.url))
    app.get(path, { config: { permission: null }, schema: { hide: true } }, (_request, reply) =>
      reply
        .header('content-security-policy', "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'")
        .type(type)
        .send(content),
    )
  }
  const stream = streamOf('state', () => lookAround(db, controlUrl), 700)
  app.addHook('preClose', async () => stream.close())
  app.get(
    '/api/console/stream',
    { config: { permission: demo ? null : 'operations' }, schema: { hide: true } },
    (request, reply) => stream.add(request, reply),
  )
}

async function lookAround(db: Database, controlUrl: string | null): Promise<unknown> {
  const [orders, counts, books, control, tasks] = await Promise.all([
    recentOrders(db),
    countStates(db),
    lookAtBooks(db),
    controlUrl === null ? null : fetch(`${controlUrl}/status`).then((response) => response.json()),
    listTasks(db),
  ])
  return { orders, counts, ...books, control, tasks }
}

/** The newest, and all that are still under way. */
async function recentOrders(db: Database): Promise<unknown[]> {
  const { rows } = await sql`
    (select order_id as id, account_id as account, asset, side, amount_centavos as amount, state, reason, updated_at as at
     from orders order by order_id desc limit 60)
    union
    (select order_id, account_id, asset, side, amount_centavos, state, reason, updated_at
     from orders where is_open order by created_at limit 60)
    order by at desc`.execute(db)
  return rows
}

async function countStates(db: Database): Promise<Record<string, number>> {
  const { rows } = await sql<{
    state: string
    count: number
  }>`select state, count(*) as count from orders group by state`.execute(db)
  return Object.fromEntries(rows.map(({ state, count }) => [state, count]))
}

/** The ledger's sum, what waits, and how long the orders of the last seconds took from acceptance to their end. */
async function lookAtBooks(db: Database): Promise<Record<string, unknown>> {
  const { rows } = await sql<Record<string, unknown>>`
    select
      ((select coalesce(sum(amount), 0) from balances)
        + (select coalesce(sum(case when from_kind = 'market' then -amount else 0 end
            + case when to_kind = 'market' then amount else 0 end), 0) from ledger_movements))::bigint as "ledgerSum",
      (select count(*) from malote.messages) as outbox,
      (select count(*) from malote.scheduled_messages) as scheduled,
      (select count(*) from malote.dead_letters) as "deadLetters",
      (select round(extract(epoch from percentile_cont(0.95) within group (order by updated_at - created_at)) * 1000)
        from orders where state in ('SETTLED', 'COMPENSATED') and updated_at > clock_timestamp() - interval '5 seconds')::int as "settledMs"`.execute(
    db,
  )
  return rows[0] ?? {}
}
