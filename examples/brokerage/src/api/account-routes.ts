import type { FastifyInstance } from 'fastify'
import { sql } from 'kysely'
import { z } from 'zod'
import { maskCpf } from '../accounts/cpf.ts'
import { isPassword } from '../accounts/password.ts'
import type { Database } from '../database/database.ts'
import { brlFromCentavos, oneShare, sharesFromQuantity } from '../money.ts'
import type { ApiOptions } from './app.ts'
import { operation, storable } from './openapi.ts'
import { sendProblem } from './problem.ts'
import type { Role } from './tokens.ts'

const credentials = z.strictObject({
  account: z.string().max(60).regex(storable, 'must not contain NUL'),
  password: z.string().max(200),
})
const renewal = z.strictObject({ refreshToken: z.string().max(4_000) })

/** Signing in, and what an account has. */
export function accountRoutes(app: FastifyInstance, { db, tokens, cpf }: ApiOptions): void {
  const open = { config: { permission: null } }
  const signIn = operation('account', 'Sign in', {
    body: credentials,
    example: { account: 'ACC-DEMO', password: 'demo-password' },
  })
  app.post('/api/auth/token', { ...open, ...signIn }, async (request, reply) => {
    const body = credentials.safeParse(request.body)
    if (!body.success) return sendProblem(reply, 'INVALID_REQUEST', 'account and password are needed')
    const { rows } = await sql<{ role: Role; password_hash: Buffer | null }>`
      select role, password_hash from accounts where account_id = ${body.data.account}`.execute(db)
    const isRight = await isPassword(body.data.password, rows[0]?.password_hash ?? null)
    if (!isRight || rows[0] === undefined) return sendProblem(reply, 'UNAUTHENTICATED', 'account or password is wrong')
    return tokens.issue(body.data.account, rows[0].role)
  })
  const renew = operation('account', 'Renew an access token', { body: renewal })
  app.post('/api/auth/refresh', { ...open, ...renew }, async (request, reply) => {
    const body = renewal.safeParse(request.body)
    const principal = body.success ? await tokens.verify(body.data.refreshToken, 'refresh') : null
    return principal === null
      ? sendProblem(reply, 'UNAUTHENTICATED')
      : tokens.issue(principal.accountId, principal.role)
  })

  const own = { config: { permission: 'balance:read' } }
  app.get('/api/balance', { ...own, ...operation('account', 'What is free and what is reserved') }, (request) =>
    balanceOf(db, request.principal.accountId),
  )
  app.get(
    '/api/positions',
    { ...own, ...operation('account', 'Shares, what they cost, what they are worth') },
    (request) => positionsOf(db, request.principal.accountId),
  )
  app.get('/api/me', { ...operation('account', 'Who am I?') }, async (request) => {
    const { accountId, role, permissions } = request.principal
    const { rows } = await sql<{ holder: string; cpf_encrypted: Buffer | null }>`
      select holder, cpf_encrypted from accounts where account_id = ${accountId}`.execute(db)
    const encrypted = rows[0]?.cpf_encrypted ?? null
    const masked = encrypted === null ? null : maskCpf(cpf.decrypt(accountId, encrypted))
    return { account: accountId, holder: rows[0]?.holder, role, permissions, cpf: masked }
  })
}

async function balanceOf(db: Database, accountId: string): Promise<unknown> {
  const { rows } = await sql<{ kind: string; asset: string; amount: number }>`
    select kind, asset, amount from balances where account_id = ${accountId} order by asset`.execute(db)
  const amountOf = (kind: string, asset: string): number =>
    rows.find((row) => row.kind === kind && row.asset === asset)?.amount ?? 0
  const assets = [...new Set(rows.map(({ asset }) => asset))].filter((asset) => asset !== 'BRL')
  return {
    account: accountId,
    cash: {
      available: brlFromCentavos(amountOf('cash', 'BRL')),
      reserved: brlFromCentavos(amountOf('cash_reserved', 'BRL')),
    },
    holdings: assets.map((asset) => ({
      asset,
      available: sharesFromQuantity(amountOf('holding', asset)),
      reserved: sharesFromQuantity(amountOf('holding_reserved', asset)),
    })),
  }
}

async function positionsOf(db: Database, accountId: string): Promise<unknown> {
  const { rows } = await sql<{ asset: string; quantity: number; cost: number; realized: number; price: number | null }>`
    select asset, quantity, cost_centavos as cost, realized_centavos as realized, price_centavos as price
    from positions left join quotes using (asset) where account_id = ${accountId} order by asset`.execute(db)
  return {
    account: accountId,
    positions: rows.map(({ asset, quantity, cost, realized, price }) => ({
      asset,
      quantity: sharesFromQuantity(quantity),
      cost: brlFromCentavos(cost),
      averageCost: quantity === 0 ? null : brlFromCentavos(Math.round((cost / quantity) * oneShare)),
      marketValue: price === null ? null : brlFromCentavos(Math.round((quantity / oneShare) * price)),
      realizedProfit: brlFromCentavos(realized),
    })),
  }
}
