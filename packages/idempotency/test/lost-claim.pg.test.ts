import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { countOrders, createOrders, idempotencyOn, placeOrder, send } from './callers.ts'
import { type ConsumerDatabase, createConsumerDatabase } from './consumer-database.ts'

let database: ConsumerDatabase
let pool: pg.Pool

beforeAll(async () => {
  database = await createConsumerDatabase(inject('postgresUrl'))
  pool = database.pool()
  await pool.query(createOrders)
})
beforeEach(() => database.truncate('orders, malote.idempotency_keys'))
afterAll(() => database.drop())

/** A pool that loses the acknowledgement of its first COMMIT: what it does instead has happened, and nobody is told. */
function losing(instead: 'commit' | 'rollback'): pg.Pool {
  const lossy = database.pool({ max: 3 })
  let isFirst = true
  lossy.on('connect', (client) => {
    const query = client.query.bind(client) as (text: string, values?: unknown[]) => Promise<pg.QueryResult>
    Object.assign(client, {
      query: async (text: string, values?: unknown[]) => {
        if (text !== 'commit' || !isFirst) return query(text, values)
        isFirst = false
        await query(instead)
        throw new Error('Connection terminated unexpectedly')
      },
    })
  })
  return lossy
}

describe('a lease claim whose acknowledgement is lost', () => {
  it.each(['commit', 'rollback'] as const)(
    'resolves itself: the handler runs once, for certain (after %s)',
    async (instead) => {
      const attempts: number[] = []
      const buy = idempotencyOn(losing(instead)).lease({ operation: 'buy' }, async (call) => {
        attempts.push(call.attempt)
        return call.commit((tx) => placeOrder({ tx, request: call.request }))
      })

      const answers = [await send(buy), await send(buy)]

      expect(answers.map(({ status, headers }) => [status, 'idempotency-replayed' in headers])).toEqual([
        [201, false],
        [201, true],
      ])
      expect([attempts, await countOrders(pool)]).toEqual([[1], 1])
    },
  )

  it.each(['commit', 'rollback'] as const)('so does that of a take-over (after %s)', async (instead) => {
    const first = idempotencyOn(pool).lease({ operation: 'buy', onLeaseExpired: 'retry' }, () => new Promise(() => {}))
    void send(first)
    await expect
      .poll(
        async () =>
          (await pool.query(`update malote.idempotency_keys set lease_until = now() - interval '1 s'`)).rowCount,
      )
      .toBe(1)
    const attempts: number[] = []
    const second = idempotencyOn(losing(instead)).lease({ operation: 'buy', onLeaseExpired: 'retry' }, async (call) => {
      attempts.push(call.attempt)
      return call.commit((tx) => placeOrder({ tx, request: call.request }))
    })

    expect((await send(second)).status).toBe(201)
    expect([attempts, await countOrders(pool)]).toEqual([[2], 1])
  })

  it('stays unknown while the database is out of reach: 503, and the handler does not run', async () => {
    const lossy = losing('commit')
    const connect = lossy.connect.bind(lossy) as () => Promise<pg.PoolClient>
    let connections = 0
    Object.assign(lossy, {
      connect: () => (++connections > 1 ? Promise.reject(new Error('Connection terminated unexpectedly')) : connect()),
    })
    let ran = false
    const buy = idempotencyOn(lossy).lease({ operation: 'buy' }, () => {
      ran = true
      return Promise.resolve({ status: 200 })
    })

    const answer = await send(buy)

    expect([answer.status, answer.text.includes('commit-unknown'), ran]).toEqual([503, true, false])
  })
})
