import { startPostgres } from '@malote/testing/services/postgres'
import pg from 'pg'
import { expect, it } from 'vitest'
import { migrateIdempotency } from '../src/index.ts'
import { countOrders, createOrders, idempotencyOn, placeOrder, send } from './callers.ts'

it('25. a server that crashes under a handler costs one 503; after its restart the retry has one effect', async () => {
  const server = await startPostgres()
  const pool = new pg.Pool({ connectionString: server.url })
  pool.on('error', () => {}) // Idle connections end with the server.
  await migrateIdempotency(pool)
  await pool.query(createOrders)
  let crashes = true
  const orders = idempotencyOn(pool).atomic({ operation: 'createOrder' }, async (call) => {
    const response = await placeOrder(call)
    if (crashes) await server.stop('immediate')
    crashes = false
    return response
  })

  const underCrash = await send(orders)
  const whileDown = await send(orders)
  await server.start()
  const retry = await send(orders)
  const replay = await send(orders)

  expect([underCrash.status, whileDown.status, retry.status, replay.status]).toEqual([503, 503, 201, 201])
  expect(replay.text).toBe(retry.text)
  expect(await countOrders(pool)).toBe(1)
  await pool.end()
  await server.stop('fast')
})
