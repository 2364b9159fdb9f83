import type { FastifyInstance } from 'fastify'
import { sql } from 'kysely'
import type { Database } from '../database/database.ts'
import { collectBusinessMetrics, registry } from './metrics.ts'
import { operation } from './openapi.ts'
import { sendProblem } from './problem.ts'

/** `/healthz`: this process lives. `/readyz`: and reaches its database. `/metrics`: for Prometheus. Open to all. */
export function healthRoutes(app: FastifyInstance, db: Database): void {
  const config = { permission: null }
  app.get('/healthz', { config, ...operation('operations', 'Is this process alive?') }, () => ({ status: 'ok' }))
  app.get('/readyz', { config, ...operation('operations', 'Can it serve?') }, async (_request, reply) => {
    try {
      await sql`select 1`.execute(db)
      return { status: 'ready' }
    } catch {
      return sendProblem(reply, 'UNAVAILABLE')
    }
  })
  app.get(
    '/metrics',
    { config, ...operation('operations', 'Metrics for Prometheus', { mediaType: 'text/plain' }) },
    async (_request, reply) => {
      // A scrape must tell of a database that is away, not fail with it.
      await collectBusinessMetrics(db).catch(() => {})
      return reply.type(registry.contentType).send(await registry.metrics())
    },
  )
}
