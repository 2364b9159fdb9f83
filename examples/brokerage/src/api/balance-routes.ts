import type { FastifyInstance } from 'fastify'
import type { Database } from '../database/database.ts'
import { brlFromCentavos } from '../money.ts'

/** `GET /api/balance`: free and reserved, for cash and for each asset held, in BRL. */
export function balanceRoutes(app: FastifyInstance, db: Database): void {
  app.get('/api/balance', async (request) => {
    const rows = await db
      .selectFrom('ledger_accounts')
      .select(['kind', 'asset', 'balance_centavos'])
      .where('account_id', '=', request.accountId)
      .orderBy('asset')
      .execute()
    const balanceOf = (kind: string, asset: string): number =>
      brlFromCentavos(rows.find((row) => row.kind === kind && row.asset === asset)?.balance_centavos ?? 0)
    const assets = [...new Set(rows.map(({ asset }) => asset))].filter((asset) => asset !== 'BRL')
    return {
      account: request.accountId,
      cash: { available: balanceOf('cash', 'BRL'), reserved: balanceOf('cash_reserved', 'BRL') },
      holdings: assets.map((asset) => ({
        asset,
        available: balanceOf('holding', asset),
        reserved: balanceOf('holding_reserved', asset),
      })),
    }
  })
}
