import Fastify, { type FastifyError, type FastifyInstance } from 'fastify'
import type { Database } from '../database/database.ts'
import { balanceRoutes } from './balance-routes.ts'
import { authenticate } from './bearer.ts'
import { orderRoutes } from './order-routes.ts'
import { parseJsonExactly } from './order-request.ts'
import { problemOfError, sendProblem } from './problem.ts'

export interface ApiOptions {
  readonly db: Database
  /** Secret that idempotency keys are hashed with, at least 16 bytes. */
  readonly pepper: string
}

/**
 * The customers' HTTP API:
 *
 * - `POST /api/orders` `{ amount, asset, type }` with `Idempotency-Key`: 202
 * - `GET /api/orders`, `GET /api/orders/:id`, `DELETE /api/orders/:id` (cancel)
 * - `GET /api/balance`
 *
 * All need `Authorization: Bearer …`, and every refusal is problem+json.
 */
export function createApi({ db, pepper }: ApiOptions): FastifyInstance {
  const app = Fastify({ logger: false, bodyLimit: 16_384, forceCloseConnections: true })
  app.decorateRequest('accountId', '')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, parseJsonExactly(String(body)))
    } catch (error) {
      done(Object.assign(error as Error, { statusCode: 400 }))
    }
  })
  app.addHook('onRequest', authenticate(db))
  app.setNotFoundHandler((_request, reply) => sendProblem(reply, 'NOT_FOUND'))
  app.setErrorHandler<FastifyError>((error, _request, reply) => {
    const code = problemOfError(error)
    // The client hears nothing of our insides; the operator hears all but the request.
    if (code === 'INTERNAL_ERROR') console.error(error)
    return sendProblem(reply, code, code === 'INVALID_REQUEST' ? 'the body is not the JSON it should be' : undefined)
  })
  orderRoutes(app, db, pepper)
  balanceRoutes(app, db)
  return app
}
