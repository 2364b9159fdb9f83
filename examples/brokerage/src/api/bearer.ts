import { hash } from 'node:crypto'
import { inBatches } from '@malote/outbox-core'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { sql } from 'kysely'
import type { Database } from '../database/database.ts'
import { sendProblem } from './problem.ts'
import { permissionsOf, type Principal, type Role, type Tokens } from './tokens.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who sent it. Nobody until `authenticate` ran. */
    principal: Principal
  }
  interface FastifyContextConfig {
    /** Needed for this route; a string, or null for everybody. Left out: any signed-in account. */
    permission?: string | null
  }
}

export const nobody: Principal = { accountId: '', role: 'USER', permissions: [] }

export function hashToken(token: string): Buffer {
  return hash('sha256', token, 'buffer')
}

/** How long a token that was found is taken for good without another look: nobody waits longer for a role to change. */
const knownForMs = 5_000
const mostKnown = 10_000

export type LookUp = (tokenHash: Buffer) => Promise<Principal | null>

/** Remembers for a while whom a token belongs to. A token that was not found is looked up again each time. */
export function remembering(lookUp: LookUp, nowMs: () => number = () => performance.now()): LookUp {
  const known = new Map<string, { readonly principal: Principal; readonly untilMs: number }>()
  return async (tokenHash) => {
    const key = tokenHash.toString('base64')
    const found = known.get(key)
    if (found !== undefined && nowMs() < found.untilMs) return found.principal
    const principal = await lookUp(tokenHash)
    known.delete(key)
    if (known.size >= mostKnown) known.clear()
    if (principal !== null) known.set(key, { principal, untilMs: nowMs() + knownForMs })
    return principal
  }
}

/** Looks up the long-lived tokens of demo accounts; requests that come at the same time are looked up together. */
function inAccounts(db: Database): LookUp {
  return inBatches(async (hashes: readonly Buffer[]) => {
    const { rows } = await sql<{ account_id: string; role: Role; token_hash: Buffer }>`
      select account_id, role, token_hash from accounts where token_hash = any(${hashes}::bytea[])`.execute(db)
    const found = new Map(rows.map((row) => [row.token_hash.toString('hex'), row]))
    return hashes.map((hash) => {
      const row = found.get(hash.toString('hex'))
      const value =
        row === undefined ? null : { accountId: row.account_id, role: row.role, permissions: permissionsOf[row.role] }
      return { status: 'fulfilled', value }
    })
  })
}

export interface AuthenticationOptions {
  readonly db: Database
  readonly tokens: Tokens
  /** Accept the long-lived tokens of the demo's accounts, `fake-token` among them. Never outside a demo. */
  readonly demoTokens: boolean
}

/**
 * A Fastify hook that puts who sent the request on it, or answers 401, or 403 when the route's permission is missing. Runs
 * before the body is read.
 */
export function authenticate(
  options: AuthenticationOptions,
): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  const lookUp = remembering(inAccounts(options.db))
  return async (request, reply) => {
    const { permission } = request.routeOptions.config
    if (permission === null) return
    const token = tokenOf(request)
    const principal = token === undefined ? null : await principalOf(token)
    if (principal === null) await sendProblem(reply.header('www-authenticate', 'Bearer'), 'UNAUTHENTICATED')
    else if (permission !== undefined && !principal.permissions.includes(permission))
      await sendProblem(reply, 'FORBIDDEN')
    else request.principal = principal
  }

  function principalOf(token: string): Promise<Principal | null> | null {
    if (token.split('.').length === 3) return options.tokens.verify(token, 'access')
    return options.demoTokens ? lookUp(hashToken(token)) : null
  }
}

function tokenOf(request: FastifyRequest): string | undefined {
  return /^Bearer ([\w.~+/-]+=*)$/i.exec(request.headers.authorization ?? '')?.[1]
}
