import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
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

/** A Fastify hook that puts the token's account on the request, or answers 401. Runs before the body is read. */
export function authenticate(db: Database): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  return async (request, reply) => {
    const token = /^Bearer ([\w.~+/-]+=*)$/i.exec(request.headers.authorization ?? '')?.[1]
    const account =
      token === undefined
        ? undefined
        : await db
            .selectFrom('accounts')
            .select('account_id')
            .where('token_hash', '=', hashToken(token))
            .executeTakeFirst()
    if (account === undefined) await sendProblem(reply.header('www-authenticate', 'Bearer'), 'UNAUTHENTICATED')
    else request.accountId = account.account_id
  }
}
