import { IdempotencyConfig, makeIdempotent } from '@aws-lambda-powertools/idempotency'
import { CachePersistenceLayer } from '@aws-lambda-powertools/idempotency/cache'
import { type RedisService, startRedis } from '@malote/testing/services/redis'
import { Idempotency } from '@node-idempotency/core'
import { RedisStorageAdapter } from '@node-idempotency/storage-adapter-redis'
import { createClient } from '@redis/client'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type pg from 'pg'

/** What a route does besides: one transaction of its own, whose result is the response. */
export type Place = (request: FastifyRequest) => Promise<object>

export interface HttpPeers {
  /** Mounts `/by-hand`, `/powertools` and `/node-idempotency`: the same route, each beside its own record of keys. */
  mount(app: FastifyInstance, pool: pg.Pool, place: Place): void
  close(): Promise<void>
}

export const ownKeys =
  'create table own_keys (key text primary key, body_hash text not null, status int, response jsonb)'

/** The libraries keep their keys in a Redis that writes nothing to a disk, their fastest store. */
export async function startHttpPeers(): Promise<HttpPeers> {
  const redis: RedisService = await startRedis()
  const client = createClient({ url: redis.url })
  await client.connect()
  const storage = new RedisStorageAdapter({ url: redis.url })
  await storage.connect()
  return {
    mount: (app, pool, place) => {
      app.post('/by-hand', (request, reply) => byHand(pool, request, reply, place))
      app.post('/powertools', powertools(client as never, place))
      app.post('/node-idempotency', nodeIdempotency(new Idempotency(storage), place))
    },
    close: async () => {
      await client.close()
      await storage.disconnect()
      await redis.close()
    },
  }
}

const keyOf = (request: FastifyRequest): string => String(request.headers['idempotency-key'])

/**
 * What many write by hand: a row before, the response after, each in a transaction of its own. A crash between two of
 * them runs the order again, or refuses it for ever.
 */
async function byHand(
  pool: pg.Pool,
  request: FastifyRequest,
  reply: FastifyReply,
  place: Place,
): Promise<FastifyReply> {
  const key = keyOf(request)
  const { rowCount } = await pool.query(
    'insert into own_keys (key, body_hash) values ($1, md5($2)) on conflict do nothing',
    [key, JSON.stringify(request.body)],
  )
  if (rowCount === 0) return reply.code(409).send()
  const response = await place(request)
  await pool.query('update own_keys set status = 201, response = $2 where key = $1', [key, JSON.stringify(response)])
  return reply.code(201).send(response)
}

/** Powertools for AWS Lambda, around the route's work: the key is in what it is given, the body is not compared. */
function powertools(client: ConstructorParameters<typeof CachePersistenceLayer>[0]['client'], place: Place) {
  // Without `payloadValidationJmesPath`: with it, on this store, 2.35 refuses the retry of an unchanged request.
  const config = new IdempotencyConfig({ eventKeyJmesPath: 'key' })
  // What AWS would tell it: how long a call may still take.
  config.registerLambdaContext({ getRemainingTimeInMillis: () => 30_000 })
  const work = makeIdempotent((_: object, request: FastifyRequest) => place(request) as Promise<never>, {
    persistenceStore: new CachePersistenceLayer({ client }),
    config,
    keyPrefix: 'createOrder',
  })
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> =>
    reply.code(201).send(await work({ key: keyOf(request), body: request.body }, request))
}

/** node-idempotency, called as its own plugins call it: before and after the route's work. */
function nodeIdempotency(idempotency: Idempotency, place: Place) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const seen = {
      method: request.method,
      path: request.url,
      headers: request.headers,
      body: request.body as Record<string, unknown>,
    }
    const known = await idempotency.onRequest<object, never>(seen)
    if (known !== undefined) return reply.code(201).send(known.body)
    const response = await place(request)
    await idempotency.onResponse(seen, { body: response })
    return reply.code(201).send(response)
  }
}
