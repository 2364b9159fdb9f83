import type { FastifyInstance } from 'fastify'
import { sql } from 'kysely'
import type { Database } from '../database/database.ts'
import type { Quote } from '../market/ticker.ts'
import { brlFromCentavos } from '../money.ts'
import { operation } from './openapi.ts'
import { streamOf } from './stream.ts'

/** Prices: the table, and each second's change. Open to all, like a board in the street. */
export function marketRoutes(app: FastifyInstance, db: Database): void {
  const open = { config: { permission: null } }
  const quotes = async (): Promise<unknown[]> => {
    const { rows } = await sql<Quote>`
      select asset, price_centavos as price, average_centavos as average, quoted_at as at from quotes order by asset`.execute(
      db,
    )
    return rows.map(({ asset, price, average, at }) => ({
      asset,
      price: brlFromCentavos(price),
      average5m: brlFromCentavos(average),
      at,
    }))
  }
  app.get(
    '/api/market/quotes',
    { ...open, ...operation('market', 'Last prices and five-minute averages') },
    async () => ({
      quotes: await quotes(),
    }),
  )
  // Each process looks once a second for all who watch, and only while somebody does.
  const stream = streamOf('quotes', quotes, 1_000)
  app.addHook('preClose', async () => stream.close())
  app.get(
    '/api/market/stream',
    { ...open, ...operation('market', 'The same, each second (server-sent events)') },
    (request, reply) => stream.add(request, reply),
  )
}
