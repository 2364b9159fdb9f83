import { createTestDatabase, type TestDatabase } from '@malote/testing/database'
import { scaled } from '@malote/testing/slowness'
import type { FastifyInstance } from 'fastify'
import { once } from 'node:events'
import { get } from 'node:http'
import type pg from 'pg'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { createPool } from '../src/database/database.ts'
import { createDemoApi } from './demo-api.ts'

let server: TestDatabase
let pool: pg.Pool
let holder: pg.Client
beforeEach(async () => {
  server = await createTestDatabase(inject('postgresUrl'))
  pool = createPool(server.url)
  holder = await server.client()
})
afterEach(async () => {
  if (!pool.ended) await pool.end()
  await server.drop()
})

/** An API that listens, and in it a transaction of orders that waits for an account's row until `release`. */
async function serve(stopGraceMs: number) {
  const { api } = await createDemoApi(pool, { stopGraceMs })
  const url = await api.listen({ host: '127.0.0.1', port: 0 })
  await holder.query('begin')
  await holder.query(`select from brokerage.accounts where account_id = 'ACC-001' for update`)
  return { api, url, release: () => holder.query('rollback') }
}

let keys = 0
function place(url: string, signal?: AbortSignal): Promise<Response> {
  const headers = {
    authorization: 'Bearer demo-token-acc-001',
    'content-type': 'application/json',
    'idempotency-key': `stop-test-key-${String(++keys).padStart(6, '0')}`,
  }
  const body = JSON.stringify({ amount: 10, asset: 'PETR4', type: 'BUY' })
  return fetch(`${url}/api/orders`, { method: 'POST', headers, body, ...(signal === undefined ? {} : { signal }) })
}

/** Resolves when a transaction waits for the account. Not asked by the holder: within a transaction activity stands still. */
const somebodyWaits = () =>
  expect
    .poll(
      async () =>
        (
          await pool.query(
            `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
          )
        ).rowCount,
      { timeout: scaled(10_000) },
    )
    .toBe(1)

/** A request behind whose answer everything that came before it on this server has reached its handler. */
async function arrivedBefore(api: FastifyInstance): Promise<void> {
  expect((await api.inject({ url: '/readyz' })).statusCode).toBe(200)
}

describe('an API that is stopped under load', () => {
  it('finishes what runs, also for a client that has hung up, refuses what is new, and then needs its database no more', async () => {
    const { api, url, release } = await serve(scaled(30_000))
    const running = place(url)
    await somebodyWaits()
    const hangingUp = new AbortController()
    const arrived = once(api.server, 'request')
    const gone = place(url, hangingUp.signal).catch((error: Error) => error.name)
    await arrived
    await arrivedBefore(api)
    hangingUp.abort()

    const closed = api.close()
    const refused = await expect
      .poll(() => fetch(`${url}/healthz`), { timeout: scaled(10_000) })
      .toMatchObject({ status: 503 })
      .then(() => fetch(`${url}/healthz`))
    await release()
    await closed
    await pool.end()

    expect(refused.headers.get('content-type')).toContain('application/problem+json')
    expect(refused.headers.get('retry-after')).toBe('2')
    expect(await refused.json()).toMatchObject({ code: 'STOPPING' })
    expect(await gone).toBe('AbortError')
    expect((await running).status).toBe(202)
    const { rows } = await holder.query('select count(*)::integer as count from brokerage.orders')
    expect(rows).toEqual([{ count: 2 }])
  })

  it('ends the streams of those who watch at once', async () => {
    const { api, url, release } = await serve(scaled(30_000))
    await release()
    const [response] = (await once(get(`${url}/api/market/stream`), 'response')) as [NodeJS.ReadableStream]
    const ended = once(response.resume(), 'end')

    await Promise.all([api.close(), ended])
  })

  it('cuts off what takes longer than it waits', async () => {
    const { api, url, release } = await serve(1)
    const running = place(url).catch(() => 'cut off')
    await somebodyWaits()

    await api.close()

    expect(await running).toBe('cut off')
    await release()
  })
})
