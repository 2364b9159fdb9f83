import { createTestDatabase } from '@malote/testing/database'
import { startRedis } from '@malote/testing/services/redis'
import type { FastifyInstance } from 'fastify'
import type pg from 'pg'
import { createClient } from 'redis'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { type Cache, createRedisCache } from '../src/api/cache.ts'
import { createPool } from '../src/database/database.ts'
import { createDemoApi } from './demo-api.ts'

const redisUrl = inject('redisUrl')
const client = createClient({ url: redisUrl })
let databaseUrl = ''
let pool: pg.Pool
const ends: (() => Promise<unknown>)[] = []
beforeAll(async () => {
  const server = await createTestDatabase(inject('postgresUrl'))
  databaseUrl = server.url
  pool = createPool(server.url)
  ends.push(
    () => pool.end(),
    () => server.drop(),
  )
  if (redisUrl !== '') await client.connect()
})
afterAll(async () => {
  if (client.isOpen) await client.close()
  for (const end of ends) await end()
})

/** A process of the API with a cache of its own, which has heard of its Redis when it is there. */
async function open(cache: Cache): Promise<FastifyInstance> {
  const { api } = await createDemoApi(pool, { cache })
  ends.unshift(
    () => api.close(),
    () => cache.close(),
  )
  return api
}

const authorization = 'Bearer fake-admin-token'
async function analytics(api: FastifyInstance) {
  const answer = await api.inject({ url: '/api/orders/analytics', headers: { authorization } })
  return {
    status: answer.statusCode,
    cache: answer.headers['x-cache'],
    orders: (answer.json().days as object[]).length,
  }
}

let placed = 0
async function place(api: FastifyInstance): Promise<void> {
  const headers = { authorization: 'Bearer fake-token', 'idempotency-key': `cache-test-key-${String(++placed)}` }
  const payload = { amount: 10, asset: ['PETR4', 'VALE3'][placed % 2], type: 'BUY' }
  expect((await api.inject({ method: 'POST', url: '/api/orders', headers, payload })).statusCode).toBe(202)
}
const rebuild = (api: FastifyInstance) =>
  api.inject({ method: 'POST', url: '/api/orders/views/rebuild', headers: { authorization } })

const keys = () => client.keys('brokerage:*:analytics')

describe.skipIf(redisUrl === '')('the analytics, kept in Redis,', () => {
  it('are made once for every process of the API, for some seconds, and anew after a rebuild', async () => {
    const [one, other] = [await redisCache(redisUrl), await redisCache(redisUrl)]
    expect(await analytics(one)).toEqual({ status: 200, cache: 'miss', orders: 0 })
    const [key = '', ...more] = await keys()
    const lifetimeMs = await client.pTTL(key)
    await client.persist(key) // However slow this machine is.
    await place(one)
    await pool.query(`insert into order_views select order_id, account_id, asset, side, amount_centavos, quantity, null, null,
      state, null, version, created_at, updated_at from orders`)

    expect(more).toEqual([])
    expect(lifetimeMs).toBeGreaterThan(0)
    expect(lifetimeMs).toBeLessThanOrEqual(5_000)
    expect(await analytics(other)).toEqual({ status: 200, cache: 'hit', orders: 0 })
    await rebuild(other)
    expect(await analytics(one)).toEqual({ status: 200, cache: 'miss', orders: 1 })
  })

  it('of one database are not those of another', async () => {
    const [api, stranger] = [
      await redisCache(redisUrl),
      await createRedisCache(redisUrl, 'postgres://elsewhere/brokerage'),
    ]
    await analytics(api)
    ends.unshift(() => stranger.close())

    expect(await stranger.get('analytics', async () => 'its own')).toMatchObject({ isKept: false })
  })

  it('are made anew where something unreadable is kept', async () => {
    const api = await redisCache(redisUrl)
    await analytics(api)
    for (const key of await keys()) await client.set(key, '{')

    expect(await analytics(api)).toMatchObject({ status: 200, cache: 'miss' })
  })
})

describe('without an answer from Redis the analytics come from the database,', () => {
  it('when nobody is there', async () => {
    const api = await open(await createRedisCache('redis://127.0.0.1:1', databaseUrl))

    expect(await analytics(api)).toMatchObject({ status: 200, cache: 'miss' })
    expect((await rebuild(api)).statusCode).toBe(200)
  })

  it.skipIf((process.env['MALOTE_TEST_REDIS_URL'] ?? '') !== '')(
    'when it takes commands and says nothing',
    async () => {
      const redis = await startRedis()
      const pausing = createClient({ url: redis.url })
      await pausing.connect()
      try {
        const api = await redisCache(redis.url)
        await analytics(api)
        await pausing.sendCommand(['CLIENT', 'PAUSE', '600000', 'ALL'])

        expect(await analytics(api)).toMatchObject({ status: 200, cache: 'miss' })
      } finally {
        pausing.destroy()
        await redis.close()
      }
    },
  )
})

/** A process that has reached its Redis. */
async function redisCache(url: string): Promise<FastifyInstance> {
  const cache = await createRedisCache(url, databaseUrl)
  await expect
    .poll(async () => {
      await cache.get('reached', async () => true)
      return (await cache.get('reached', async () => true)).isKept
    })
    .toBe(true)
  return open(cache)
}
