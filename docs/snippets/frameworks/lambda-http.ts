import { Hono } from 'hono'
import { handle } from 'hono/aws-lambda'
import type { Pool } from 'pg'
import { createOrdersHandler } from './fetch.ts'

/** For API Gateway, a function URL or a load balancer. Make pool and function once, outside of the handler that AWS calls. */
export function createOrdersFunction(pool: Pool, pepper: string): ReturnType<typeof handle> {
  const postOrder = createOrdersHandler(pool, pepper)
  const app = new Hono()
  app.post('/orders', ({ req }) => postOrder(req.raw))
  return handle(app)
}
