// The least that taking an order can cost: one Fastify route, one row, one durable commit. Same sockets, same clients, same cores.
import Fastify from 'fastify'
import pg from 'pg'
import { runRole } from '../../examples/brokerage/src/process/run-role.ts'
import { setting } from '../../examples/brokerage/src/process/settings.ts'

await runRole(async () => {
  const pool = new pg.Pool({ connectionString: setting('DATABASE_URL'), max: 20 })
  await pool.query(`
    create schema if not exists bare;
    create table if not exists bare.orders (
      order_id uuid primary key default gen_random_uuid(), amount numeric not null, asset text not null, side text not null,
      created_at timestamptz not null default now())`)
  const app = Fastify({ logger: false, forceCloseConnections: true })
  app.post<{ Body: { amount: number; asset: string; type: string } }>('/api/orders', async ({ body }, reply) => {
    const { rows } = await pool.query({
      name: 'insert order',
      text: 'insert into bare.orders (amount, asset, side) values ($1, $2, $3) returning order_id as id',
      values: [body.amount, body.asset, body.type],
    })
    return reply.code(202).send(rows[0])
  })
  const api = await app.listen({ host: '127.0.0.1', port: 0 })
  return {
    urls: { api },
    stop: async () => {
      await app.close()
      await pool.end()
    },
  }
})
