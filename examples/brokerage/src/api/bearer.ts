import { createHash } from 'node:crypto'
import { inBatches } from '@malote/outbox-core'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { sql } from 'kysely'
import type { Database } from '../database/database.ts'
import { sendProblem } from './problem.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The account of the bearer token. Empty until `authenticate` ran. */
    accountId: string
  }
}

export function hashToken(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

/** Requests that come at the same time are looked up together: the one statement of a request that needs no transaction. */
function accountLookup(db: Database): (tokenHash: Buffer) => Promise<string | undefined> {
  return inBatches(async (hashes: readonly Buffer[]) => {
    const { rows } = await sql<{ account_id: string; token_hash: Buffer }>`
      select account_id, token_hash from accounts where token_hash = any(${hashes}::bytea[])`.execute(db)
    const accountOf = new Map(rows.map((row) => [row.token_hash.toString('hex'), row.account_id]))
    return hashes.map((hash) => ({ status: 'fulfilled', value: accountOf.get(hash.toString('hex')) }))
  })
}

/** A Fastify hook that puts the token's account on the request, or answers 401. Runs before the body is read. */
export function authenticate(db: Database): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  const accountOf = accountLookup(db)
  return async (request, reply) => {
    const token = /^Bearer ([\w.~+/-]+=*)$/i.exec(request.headers.authorization ?? '')?.[1]
    const accountId = token === undefined ? undefined : await accountOf(hashToken(token))
    if (accountId === undefined) await sendProblem(reply.header('www-authenticate', 'Bearer'), 'UNAUTHENTICATED')
    else request.accountId = accountId
  }
}
